"""The numbers by which the breaker judges."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a backend is ejected, for how long, and how it comes back.

    Raises:
        ValueError: a number isn't finite and positive, or a share is above 1.
    """

    failures: int = 5
    """So many failures in a row eject."""
    outlier_ratio: float = 5.0
    """So many times the median of its peers is too slow."""
    outlier_requests: int = 20
    """A backend is judged by its pace only after so many requests within the window."""
    peer_requests: int = 5
    """A peer is compared with only after so many."""
    peers: int = 2
    """A backend is judged by its pace only beside so many peers: others that offer exactly the same models."""
    window_s: int = 30
    least_itl_s: float = 0.002
    """Peers count as no faster than this a token: below it, differences are those of the machine's scheduler."""
    least_ttft_s: float = 0.02
    """The same for the time to the first token, per 1,000 prompt tokens."""
    least_prompt_tokens: int = 50
    """A shorter prompt counts as this long: what every request costs isn't the price of its few tokens."""
    ejection_s: float = 30.0
    """How long the first ejection lasts; the nth lasts n times as long. Each such time in service forgives one."""
    ejection_max_s: float = 300.0
    ramp_s: float = 30.0
    """How long a backend that comes back is eased in."""
    ramp_from: float = 0.1
    """The part of its weight that it begins with."""
    panic_share: float = 0.5
    """If a larger part than this of a model's backends is ejected, ejections aren't heeded."""
    check_s: float = 1.0
    """How often paces are compared."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"breaker: {field.name} must be positive, not {value}")
        if self.ramp_from > 1 or self.panic_share > 1:
            raise ValueError("breaker: ramp_from and panic_share are parts of 1")
