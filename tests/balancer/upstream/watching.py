"""A pool of configured upstreams, watched over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from balancer import tasks
from balancer.pool.backend import State
from balancer.pool.detector import PROBED
from balancer.pool.ledger import Lease
from balancer.pool.registry import Registry
from balancer.pool.transition import Transition
from balancer.upstream.changes import UpstreamChanges
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.spec import parse_upstream
from balancer.upstream.watch import Watch

MODELS = b'{"data":[{"id":"m"}]}'


class Pool:
    """A registry watched over, and its transitions."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.seen: list[Transition] = []
        self.connections = ConnectionPool()
        self.pumps = 0
        loop = asyncio.get_running_loop()
        self.watch = Watch(self.registry, self.connections, loop, self.apply, self.changed, PROBED)

    def changed(self, transitions: Iterable[Transition]) -> None:
        self.pumps += 1

    async def add(self, text: str) -> str:
        """Its name."""
        upstream = parse_upstream(text)
        await self.watch.add(upstream)
        return upstream.name

    async def settings(self, *texts: str) -> UpstreamChanges:
        """As a reload does it."""
        wanted = [parse_upstream(text) for text in texts]
        return self.watch.take_over(wanted, await self.watch.resolve(self.watch.plan(wanted)))

    def tick(self) -> None:
        self.watch.advance(asyncio.get_running_loop().time())

    def lease(self, name: str) -> Lease:
        backend = self.registry.named(name)
        assert backend is not None
        return self.registry.ledger.lease(backend.index)

    def names(self) -> set[str]:
        return {member.spec.name for member in self.registry.members()}

    def broken(self) -> list[Transition]:
        """What would have ended streams."""
        return [transition for transition in self.seen if transition.ends_exchanges]

    def apply(self, transitions: Iterable[Transition]) -> None:
        self.seen += transitions

    def state(self, name: str) -> State | None:
        backend = self.registry.named(name)
        return backend.state if backend is not None else None

    async def until(self, right: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not right():
                await asyncio.sleep(0.002)

    async def close(self) -> None:
        await tasks.cancel_all()
        self.connections.close()
