"""Pools for routing tests: a real registry, its backends alive."""

from __future__ import annotations

import random
from typing import Any

from balancer.pool.ledger import Lease
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.routing.need import RouteNeed
from balancer.routing.policies import POLICIES
from balancer.routing.policy import Parts, parts_of
from balancer.routing.select import NoBackend, NoSlot, Router
from tests.balancer.pool.specs import a_spec, join_alive

CHAT = RouteNeed("m", "chat")
EVERY = dict(POLICIES)
BY_CHANCE = ("least-latency", "power-of-two", "random")
"""Policies whose shares are even in the long run only."""
BY_COST = ("adaptive", "least-tokens", "prefix-affinity")
"""Policies that count more than leases."""


class Pool:
    """A registry and a router, asked in few words; its time stands still unless told otherwise."""

    def __init__(self, policy: str, seed: int = 0) -> None:
        self.registry = Registry()
        self.ledger = self.registry.ledger
        self.router = Router(EVERY[policy](), random.Random(seed))
        self.lease_ids: dict[str, int] = {}

    def add(self, name: str, **changes: Any) -> None:
        changes.setdefault("port", 1 + len(self.lease_ids))
        self.lease_ids[name] = join_alive(self.registry, a_spec(name, **changes)).lease_id

    def add_many(self, count: int, **changes: Any) -> None:
        for number in range(count):
            self.add(f"b{number}", **changes)

    def remove(self, name: str) -> None:
        self.registry.leave(self.lease_ids[name], 0.0)

    def route(self, need: RouteNeed = CHAT, now: float = 0.0) -> Lease | NoSlot | NoBackend:
        return self.router.route(self.registry.view, self.ledger, need, now)

    def lease(self, need: RouteNeed = CHAT, now: float = 0.0) -> Lease:
        lease = self.route(need, now)
        assert isinstance(lease, Lease), lease
        return lease

    def choose(self, need: RouteNeed = CHAT, now: float = 0.0) -> str:
        """Whom a request goes to that is over at once."""
        lease = self.lease(need, now)
        self.end(lease, now)
        return lease.spec.name

    def parts(self, need: RouteNeed = CHAT, now: float = 0.0) -> list[Parts]:
        """What the policy weighs of all backends, in the pool's order."""
        view = self.registry.view
        return parts_of(self.router.policy, [backend.index for backend in view.backends], view, self.ledger, need, now)

    def first_token(self, lease: Lease, now: float) -> None:
        self.router.first_token(lease, self.ledger, now)

    def end(self, lease: Lease, now: float = 0.0) -> None:
        self.router.ended(lease, self.ledger, now)
        lease.release()

    def beat(self, name: str, load: Load, now: float = 0.0) -> None:
        lease_id = self.lease_ids[name]
        member = self.registry.named(name)
        assert member is not None
        self.registry.beat(lease_id, member.sequence + 1, load, now)
        self.router.beat(member.index, self.ledger, now)
