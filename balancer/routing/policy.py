"""What a policy is given, and what it answers.

Strategy: a policy sees only eligible backends (right model, alive, a slot free), as indexes into the ledger's
arrays, and answers one of them. They come as a list when they are few, where plain Python is fastest, and as a
numpy array when they are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.need import RouteNeed

FEW = 24
"""Up to here a loop in plain Python is faster than numpy's fixed cost per call."""

Candidates: TypeAlias = list[int] | npt.NDArray[np.intp]
"""At least one index, in the pool's order; a list up to FEW, an array above."""

Parts: TypeAlias = dict[str, float]
"""What one candidate's score is made of: names as operators read them, with units; `cost` is the whole, if there is one
(less is better)."""


class Policy(Protocol):
    """Chooses among the eligible. It may keep a state of its own, by index and generation."""

    @property
    def name(self) -> str:
        """As the operator writes it."""
        ...

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        """The index of the backend to lease."""
        ...


@runtime_checkable
class AttentivePolicy(Policy, Protocol):
    """One that learns from what becomes of its choices. Each lease that `leased` tells of, `ended` tells of, once.

    After a change of policies it hears of the end of leases that it did not choose.
    """

    @property
    def wants_blocks(self) -> bool:
        """Whether `RouteNeed.blocks` is worth its price."""
        ...

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        """What was chosen is leased, and will be asked now."""
        ...

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """The backend began to answer: its prefill is done."""
        ...

    def failed(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """The backend failed the request, or its answer broke; `ended` follows."""
        ...

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """The lease is about to be released, or was a moment ago, whatever became of the request."""
        ...

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        """A beat of this backend was recorded in the ledger."""
        ...


@runtime_checkable
class ExplainingPolicy(Policy, Protocol):
    """One whose choice follows from numbers that can be told."""

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        """What `choose` would weigh now, for each candidate, in step with them. Chooses nobody and changes nothing.

        To be called before `choose`, whose lease changes the numbers. What chance or turns decide is not in it.
        """
        ...


def parts_of(
    policy: Policy, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
) -> list[Parts]:
    """What the policy weighs, for each candidate; nothing of a policy that cannot tell. Off the way of requests."""
    if isinstance(policy, ExplainingPolicy):
        return policy.explain(candidates, view, ledger, need, now)
    return [{} for _ in candidates]
