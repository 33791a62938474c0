"""Which arm of a model's shares a request gets: ``gpt-x: {v1: 90, v2: 10}``.

A request of a session (``prompt_cache_key``, else ``user``) gets the arm that its name, tenant and session hash to: the
same on every balancer and after every restart, so that a conversation keeps its model and its cached prefix. Requests
without one are drawn by chance. Arms are laid end to end in the order written: to move some share from one to its
neighbour moves the sessions of that share and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from balancer.rng import Rng

Arms = Sequence[tuple[str, float]]
"""Models with their weights: at least one is above 0, none below."""


def point_of(name: str, tenant: str, session: str) -> float:
    """A number in [0, 1) that these always have."""
    told = "\0".join((name, tenant, session)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(told, digest_size=6).digest(), "big") / (1 << 48)


def pick(arms: Arms, point: float) -> str:
    """The arm that covers ``point``, in [0, 1)."""
    left = point * sum(weight for _, weight in arms)
    for model, weight in arms:
        if left < weight:
            return model
        left -= weight
    return next(model for model, weight in reversed(arms) if weight > 0)  # rounding took it past the last


def arm_of(arms: Arms, name: str, tenant: str, session: str, rng: Rng) -> str:
    """The arm for a request that names ``name``; ``session`` is empty where it has none."""
    if len(arms) == 1:
        return arms[0][0]
    return pick(arms, point_of(name, tenant, session) if session else rng.random())
