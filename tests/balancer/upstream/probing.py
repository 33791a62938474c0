"""A prober at work, and what it has told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from balancer.pool.load import Load
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober
from balancer.upstream.resolve import resolved
from balancer.upstream.spec import parse_upstream
from balancer.wire.model_list import Listing
from tests.balancer.upstream.engine import Engine, Visit

MODELS = b'{"data":[{"id":"m","max_model_len":2048},{"id":"k"}]}'


class Watcher:
    def __init__(self) -> None:
        self.listings: list[Listing] = []
        self.verdicts: list[bool] = []
        self.loads: list[Load | None] = []
        self.changed = asyncio.Event()

    def listed(self, listing: Listing) -> None:
        self.listings.append(listing)

    def probed(self, healthy: bool, load: Load | None) -> None:
        self.verdicts.append(healthy)
        self.loads.append(load)
        self.changed.set()

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.verdicts) < count:
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def probing(engine: Engine, *, pool: ConnectionPool | None = None) -> AsyncIterator[Watcher]:
    watcher, pool = Watcher(), pool or ConnectionPool()
    spec = await resolved(parse_upstream(f"http://127.0.0.1:{engine.port}"))
    task = asyncio.ensure_future(Prober(spec, pool, watcher.listed, watcher.probed).run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.close()


def paths(engine: Engine) -> list[str]:
    return [visit.head.split()[1].decode() for visit in engine.visits]


async def healthy(v: Visit) -> None:
    """All is well, and there are no metrics."""
    if b"/metrics" in v.head:
        await v.plain(404, b"{}")
    else:
        await v.plain(200, MODELS if b"/v1/models" in v.head else b"{}")
