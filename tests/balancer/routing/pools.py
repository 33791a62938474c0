"""Pools for routing tests: a real registry, its backends alive."""

from __future__ import annotations

import random
from typing import Any

from balancer.pool.ledger import Lease
from balancer.pool.registry import Registry
from balancer.routing.policies import make_policy
from balancer.routing.policy import RouteNeed
from balancer.routing.select import NoBackend, NoSlot, Router
from tests.balancer.pool.specs import a_spec, join_alive

CHAT = RouteNeed("m", "chat")
BY_CHANCE = ("power-of-two", "random")
"""Policies whose shares are even in the long run only."""


class Pool:
    """A registry and a router, asked in few words; its time stands still unless told otherwise."""

    def __init__(self, policy: str, seed: int = 0) -> None:
        self.registry = Registry()
        self.ledger = self.registry.ledger
        self.router = Router(make_policy(policy), random.Random(seed))
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

    def choose(self, need: RouteNeed = CHAT) -> str:
        """Whom a request goes to that is over at once."""
        with self.lease(need) as lease:
            return lease.spec.name
