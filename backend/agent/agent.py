"""All balancers of one backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from backend.agent.identity import Identity
from backend.agent.membership import Membership
from backend.engines.base import EngineLoad
from backend.tasks import spawn

LEAVE_S = 1.0


class Agent:
    """Registers with every balancer, independently of each other, and beats until `close`."""

    def __init__(
        self,
        balancers: Sequence[tuple[str, int]],
        identity: Identity,
        *,
        token: bytes,
        load: Callable[[], EngineLoad],
        rng: Random,
    ) -> None:
        self.memberships = tuple(
            Membership(host, port, identity, token=token, load=load, rng=rng) for host, port in balancers
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [spawn(m.run(), name=f"agent {m.balancer}") for m in self.memberships]

    @property
    def is_registered(self) -> bool:
        """Whether at least one balancer knows this backend now."""
        return any(m.registered.is_set() for m in self.memberships)

    async def until_registered(self) -> bool:
        """Wait until a balancer knows this backend; true."""
        waiting = [spawn(m.registered.wait(), name=f"registered with {m.balancer}") for m in self.memberships]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return True

    def drain(self) -> None:
        """Ask every balancer for no new work."""
        for membership in self.memberships:
            membership.drain()

    def register_again(self, identity: Identity) -> None:
        """Something of this backend has changed: tell every balancer."""
        for membership in self.memberships:
            membership.register_again(identity)

    async def close(self) -> None:
        """Leave, and end within `LEAVE_S`."""
        for membership in self.memberships:
            membership.leave()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_S)
