"""Linear maps on tensors, laid out once for torch's CPU kernel: at a dozen rows twice as fast as laid out every time.

The kernel is the one that torch's own compiler calls. It is not documented, so each map is compared with the
documented way when it is made, and that way is taken where the two differ or the kernel is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

_DIFFERENCE_MAX: Final = 1e-4

Map = TypeVar("Map", bound=Callable[..., Any])


def linear_map(weight: Any, bias: Any) -> Callable[[Any], Any]:
    """``rows -> rows @ weight.T + bias``."""
    import torch

    kernel = _Kernel(weight)
    return kernel.checked(
        lambda rows: kernel.map(rows, kernel.packed, bias, "none", [], "none"),
        lambda rows: torch.nn.functional.linear(rows, weight, bias),
    )


def gelu_map(weight: Any, bias: Any) -> Callable[[Any], Any]:
    """The same, and GELU of it (Hendrycks and Gimpel, arXiv 1606.08415), the exact one."""
    import torch

    kernel = _Kernel(weight)
    return kernel.checked(
        lambda rows: kernel.map(rows, kernel.packed, bias, "gelu", [], "none"),
        lambda rows: torch.nn.functional.gelu(torch.nn.functional.linear(rows, weight, bias)),
    )


def sum_map(weight: Any, bias: Any) -> Callable[[Any, Any], Any]:
    """``(rows, others) -> rows @ weight.T + bias + others``."""
    import torch

    kernel = _Kernel(weight)
    return kernel.checked(
        lambda rows, others: kernel.map.binary(rows, others, kernel.packed, bias, "add"),
        lambda rows, others: torch.nn.functional.linear(rows, weight, bias) + others,
        others=True,
    )


class _Kernel:
    def __init__(self, weight: Any) -> None:
        import torch

        self._outputs, self._inputs = weight.shape
        try:
            self.map: Any = torch.ops.mkldnn._linear_pointwise
            self.packed: Any = torch.ops.mkldnn._reorder_linear_weight(weight)
        except (AttributeError, RuntimeError, TypeError):
            self.map = self.packed = None

    def checked(self, fast: Map, plain: Map, *, others: bool = False) -> Map:
        import torch

        if self.packed is None:
            return plain
        sample = [torch.linspace(-1, 1, 2 * width).view(2, -1) for width in (self._inputs, self._outputs)]
        arguments = sample if others else sample[:1]
        try:
            with torch.inference_mode():
                difference = float((fast(*arguments) - plain(*arguments)).abs().max())
        except (AttributeError, RuntimeError, TypeError):
            return plain
        return fast if difference < _DIFFERENCE_MAX else plain
