from __future__ import annotations

import pytest

from balancer.adapters.embedder.passes import in_bytes

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def test_each_row_fills_the_range_of_a_byte() -> None:
    rows = in_bytes(torch.tensor([[0.5, -1.0, 0.25], [0.0, 3e-9, 6e-9], [0.0, 0.0, 0.0]]))
    assert rows.dtype == "int8"
    assert rows.tolist() == [[64, -127, 32], [0, 64, 127], [0, 0, 0]]
