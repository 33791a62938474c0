from __future__ import annotations

from typing import Any

import pytest

from balancer.adapters.embedder import linear

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def some(*shape: int) -> Any:
    return torch.sin(torch.arange(float(torch.Size(shape).numel()))).view(shape)


WEIGHT, BIAS, ROWS, OTHERS = some(6, 4), some(6), some(3, 4), some(3, 6)


@pytest.fixture(params=["the kernel", "no kernel", "a kernel of another kind", "a kernel that computes something else"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = torch.ops.mkldnn

    class Wrong:
        _reorder_linear_weight = staticmethod(lambda weight: weight)

        class _linear_pointwise:
            def __new__(cls, rows: Any, weight: Any, *_: Any) -> Any:
                return rows @ weight.T

            binary = staticmethod(lambda rows, others, weight, *_: rows @ weight.T)

    if request.param == "no kernel":
        kernel = object()
    elif request.param == "a kernel of another kind":
        kernel = type("Kernel", (), {"_reorder_linear_weight": lambda _, w: w, "_linear_pointwise": lambda _: None})()
    elif request.param == "a kernel that computes something else":
        kernel = Wrong
    monkeypatch.setattr(torch.ops, "mkldnn", kernel)


@pytest.mark.usefixtures("way")
def test_every_way_computes_the_same() -> None:
    with torch.inference_mode():
        mapped = ROWS @ WEIGHT.T + BIAS
        assert torch.allclose(linear.linear_map(WEIGHT, BIAS)(ROWS), mapped, atol=1e-6)
        gelu = torch.nn.functional.gelu(mapped)
        assert torch.allclose(linear.gelu_map(WEIGHT, BIAS)(ROWS), gelu, atol=1e-6)
        assert torch.allclose(linear.sum_map(WEIGHT, BIAS)(ROWS, OTHERS), mapped + OTHERS, atol=1e-6)
