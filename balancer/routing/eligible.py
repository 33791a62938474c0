"""Which of a tier can take a request now: a free slot, not busy, not ejected, not excluded, the prompt fits."""

from __future__ import annotations

from balancer.pool.ledger import SHUT, Ledger
from balancer.pool.view import Tier
from balancer.routing.need import RouteNeed
from balancer.routing.policy import FEW, Candidates


def eligible(tier: Tier, ledger: Ledger, need: RouteNeed, now: float, gated: bool = False) -> Candidates:
    """Their indexes, in the pool's order; empty when there are none. Gates are heeded only if `gated`."""
    if len(tier.indexes) <= FEW:
        return _of_few(tier, ledger, need, now, gated)
    return _of_many(tier, ledger, need, now, gated)


def anyone_may(tier: Tier, need: RouteNeed) -> bool:
    """Whether nothing but slots keeps this request from any backend of the tier."""
    return tier.prompt_limits is None and not need.exclude


def possible(tier: Tier, need: RouteNeed) -> list[int]:
    """Those that could take the request if they had a free slot."""
    limits = tier.prompt_limits or [need.prompt_bytes] * len(tier.indexes)
    return [
        backend.index
        for backend, limit in zip(tier.backends, limits, strict=True)
        if need.prompt_bytes <= limit and backend.spec.process not in need.exclude
    ]


def _of_few(tier: Tier, ledger: Ledger, need: RouteNeed, now: float, gated: bool) -> list[int]:
    in_flight = ledger.in_flight
    slots = ledger.slots
    found = tier.indexes if anyone_may(tier, need) else possible(tier, need)
    found = [index for index in found if in_flight[index] < slots[index]]
    if now < ledger.busy_horizon:
        busy_until = ledger.busy_until
        found = [index for index in found if busy_until[index] <= now]
    if gated:
        gate = ledger.gate
        found = [index for index in found if gate[index] != SHUT]
    return found


def _of_many(tier: Tier, ledger: Ledger, need: RouteNeed, now: float, gated: bool) -> Candidates:
    found = tier.indexes_np
    fits = ledger.in_flight_np[found] < ledger.slots_np[found]
    if tier.prompt_limits is not None:
        fits &= tier.prompt_limits_np >= need.prompt_bytes
    if now < ledger.busy_horizon:
        fits &= ledger.busy_until_np[found] <= now
    if gated:
        fits &= ledger.gate_np[found] != SHUT
    for name in need.exclude:
        position = tier.positions.get(name)
        if position is not None:
            fits[position] = False
    found = found[fits]
    return found if len(found) > FEW else found.tolist()
