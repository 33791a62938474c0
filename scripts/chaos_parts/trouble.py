"""What is done to the backends: killed, frozen, slowed, and started again, in an order that only the seed knows.

One backend at least is always left alone and in service, so that nothing may fail.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass
from typing import Final

from scripts.chaos_parts.processes import Backend, Balancer, ChaosError

_DOWN_S: Final = (0.2, 1.5)
_FROZEN_S: Final = (2.0, 8.0)
_SLOW_S: Final = (2.0, 4.0)
_SLOW_STOP_S, _SLOW_RUN_S = 0.1, 0.02
"""A slowed backend runs a sixth of the time."""
_LOOK_S: Final = 0.05
_BACK_S: Final = 60.0
PER_MINUTE: Final = {"killed": 10, "frozen": 5, "slowed and restarted": 5}


@dataclass(frozen=True)
class Event:
    """One thing that is done to some backend, so many seconds after the start."""

    at_s: float
    kind: str


def plan(rng: random.Random, seconds: float, *, minutes: float) -> list[Event]:
    """As many events as are due in so many minutes, one in each of as many equal parts of the time."""
    kinds = [kind for kind, often in PER_MINUTE.items() for _ in range(max(1, round(often * minutes)))]
    rng.shuffle(kinds)
    step = 0.9 * seconds / len(kinds)  # those of the last moments would hit nobody
    return [Event((n + rng.random()) * step, kind) for n, kind in enumerate(kinds)]


class Trouble:
    """Does what was planned; ``done`` counts it."""

    def __init__(self, balancer: Balancer, backends: list[Backend], rng: random.Random) -> None:
        self._balancer = balancer
        self._backends = backends
        self._rng = rng
        self._tasks: list[asyncio.Task[None]] = []
        self.done: Counter[str] = Counter()

    async def make(self, events: list[Event]) -> None:
        """All events, each when its time has come and somebody else is in service. Raises `ChaosError`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            for event in events:
                await asyncio.sleep(max(0.0, began + event.at_s - loop.time()))
                victim = await self._victim()
                victim.troubled = True
                self._tasks.append(asyncio.create_task(self._trouble(victim, event.kind)))
                self.done[event.kind] += 1
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _victim(self) -> Backend:
        """Any backend but the last one that is well."""
        while True:
            for task in self._tasks:
                if task.done():
                    task.result()
            well = await self._well()
            if len(well) > 1:
                return self._rng.choice(well)
            await asyncio.sleep(_LOOK_S)

    async def _well(self) -> list[Backend]:
        status = await self._balancer.status()
        alive = {each["name"] for each in status["backends"] if each["state"] == "alive"}
        return [backend for backend in self._backends if not backend.troubled and backend.name in alive]

    async def _trouble(self, victim: Backend, kind: str) -> None:
        if kind == "killed":
            await victim.kill()
            await asyncio.sleep(self._rng.uniform(*_DOWN_S))
            await victim.serve()
        elif kind == "frozen":
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(*_FROZEN_S))
            victim.send(signal.SIGCONT)
        else:
            await self._slow(victim, self._rng.uniform(*_SLOW_S))
            await victim.stop()
            await victim.serve()
        victim.troubled = False
        await self._back(victim)

    async def _slow(self, victim: Backend, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(_SLOW_STOP_S)
            victim.send(signal.SIGCONT)
            await asyncio.sleep(_SLOW_RUN_S)

    async def _back(self, victim: Backend) -> None:
        """It is in service again, or the next one has got hold of it."""
        try:
            async with asyncio.timeout(_BACK_S):
                while True:
                    well = await self._well()
                    if victim.troubled or victim in well:
                        return
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise ChaosError(f"{victim.name} is not in service again after {_BACK_S:g} s") from None
