from __future__ import annotations

import numpy as np

from balancer.adapters.embedder.passes import in_bytes


def test_each_row_fills_the_range_of_a_byte() -> None:
    rows = in_bytes(np.array([[0.5, -1.0, 0.25], [0.0, 4e-9, 6e-9], [0.0, 0.0, 0.0]], np.float32))
    assert rows.dtype == np.int8
    assert rows.tolist() == [[64, -127, 32], [0, 85, 127], [0, 0, 0]]
