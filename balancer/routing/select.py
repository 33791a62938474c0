"""Eligible -> policy -> lease. Choosing reserves: there is nothing between the choice and its lease.

Strategy: tiers, best first. Alive backends come before suspect ones, and within either those that offer the
endpoint itself before those for which the request must be rewritten. A later tier is asked only when no one in
the earlier has a slot. Why there is no lease is worked out only when there is none.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import Group, PoolView
from balancer.rng import Rng
from balancer.routing.eligible import anyone_may, eligible, possible
from balancer.routing.need import RouteNeed
from balancer.routing.panic import is_panic, only_ejected
from balancer.routing.policy import AttentivePolicy, Policy
from balancer.routing.prefer import Preference


class NoBackendReason(enum.StrEnum):
    """Why no backend could take the request, however long it waited for a slot."""

    EMPTY_POOL = "empty_pool"
    UNKNOWN_MODEL = "unknown_model"
    WRONG_ENDPOINT = "wrong_endpoint"  # the model is offered, but not at this endpoint
    UNAVAILABLE = "unavailable"  # offered, but only by joining, dead or draining backends
    PROMPT_TOO_LONG = "prompt_too_long"
    EXCLUDED = "excluded"  # every backend that could has failed this request already


@dataclass(frozen=True, slots=True)
class NoSlot:
    """Someone could take the request, but all are full or busy.

    `not_before` is the earliest time (monotonic s) at which a backend with a free slot may be asked again, after it
    answered that it was busy or was ejected; None when only a freed slot, or the end of a trial, can help.
    """

    not_before: float | None


@dataclass(frozen=True, slots=True)
class NoBackend:
    """Nobody in the pool could take the request."""

    reason: NoBackendReason


class Router:
    """Routes by one policy, and tells it what became of its choices."""

    def __init__(self, policy: Policy, rng: Rng) -> None:
        self.rng = rng
        self.policy = policy
        self.preference: Preference | None = None
        """Whom to ask first, whatever the policy; it may be changed at any time, as the policy may."""

    @property
    def policy(self) -> Policy:
        """It may be changed at any time; what the old one was told of, the new one may hear the end of."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._attentive = policy if isinstance(policy, AttentivePolicy) else None

    @property
    def wants_blocks(self) -> bool:
        """Whether `RouteNeed.blocks` should be filled."""
        return self._attentive is not None and self._attentive.wants_blocks

    def route(self, view: PoolView, ledger: Ledger, need: RouteNeed, now: float) -> Lease | NoSlot | NoBackend:
        """A lease on the chosen backend, or why there is none."""
        group = view.group(need.model, need.endpoint, named=need.named, resume=need.resume)
        if self.preference is not None:
            group = self.preference.group(view, group)
        gated = ledger.gated > 0 and not is_panic(group, ledger)
        lease = self._lease(view, group, ledger, need, now, gated)
        if lease is None and gated and only_ejected(group, ledger, need):
            lease = self._lease(view, group, ledger, need, now, False)
        return lease or _why_not(view, group, ledger, need, now, gated)

    def group(self, view: PoolView, need: RouteNeed) -> Group:
        """Whom `route` looks at, tier by tier."""
        group = view.group(need.model, need.endpoint, named=need.named, resume=need.resume)
        return group if self.preference is None else self.preference.group(view, group)

    def _lease(
        self, view: PoolView, group: Group, ledger: Ledger, need: RouteNeed, now: float, gated: bool
    ) -> Lease | None:
        for tier in group.tiers:
            candidates = eligible(tier, ledger, need, now, gated)
            if len(candidates):
                lease = ledger.lease(self._policy.choose(candidates, view, ledger, need, now, self.rng))
                if self._attentive is not None:
                    self._attentive.leased(lease, ledger, need, now)
                return lease
        return None

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """The backend of this lease began to answer."""
        if self._attentive is not None:
            self._attentive.first_token(lease, ledger, now)

    def failed(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """The backend of this lease failed; to be called before `ended`."""
        if self._attentive is not None:
            self._attentive.failed(lease, ledger, now)

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """This lease is released; to be called once for every lease that `route` gave."""
        if self._attentive is not None:
            self._attentive.ended(lease, ledger, now)

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        """The ledger holds a new report of this backend."""
        if self._attentive is not None:
            self._attentive.beat(index, ledger, now)


def _why_not(
    view: PoolView, group: Group, ledger: Ledger, need: RouteNeed, now: float, gated: bool
) -> NoSlot | NoBackend:
    if now >= ledger.busy_horizon and not gated and any(anyone_may(tier, need) for tier in group.tiers):
        return NoSlot(None)  # the common answer under overload, without a look at every backend
    indexes = [index for tier in group.tiers for index in possible(tier, need)]
    if indexes:
        # Whoever has a free slot and still wasn't eligible is avoided for a while.
        free = [i for i in indexes if ledger.in_flight[i] < ledger.slots[i]]
        avoided = [max(ledger.busy_until[i], ledger.shut_until[i] if gated else 0.0) for i in free]
        earliest = min(avoided, default=math.inf)
        return NoSlot(earliest if earliest < math.inf else None)
    if not view.backends:
        return NoBackend(NoBackendReason.EMPTY_POOL)
    if not group.model_offered:
        return NoBackend(NoBackendReason.UNKNOWN_MODEL)
    if not group.endpoint_offered:
        return NoBackend(NoBackendReason.WRONG_ENDPOINT)
    if not group.tiers:
        return NoBackend(NoBackendReason.UNAVAILABLE)
    without_limits = replace(need, prompt_bytes=0)
    if any(possible(tier, without_limits) for tier in group.tiers):
        return NoBackend(NoBackendReason.PROMPT_TOO_LONG)
    return NoBackend(NoBackendReason.EXCLUDED)
