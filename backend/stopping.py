"""How a process of this package is told to end: the first signal asks it to drain, the second to end at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from backend.errors import EngineUnavailable
from backend.tasks import spawn

T = TypeVar("T")

DRAIN_GRACE_S: Final = 0.5
"""Requests that were on their way when the balancers were told of the drain have arrived after this."""


class StopSignals:
    """From its making on, ``first`` is set by the first SIGTERM or SIGINT and ``second`` by the next."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._arrived)

    def _arrived(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def unless(stop: asyncio.Event, doing: Coroutine[Any, Any, T]) -> T | None:
    """The outcome of ``doing``, or ``None`` if ``stop`` is set first; ``doing`` is cancelled then.

    Raises `EngineUnavailable` if that is the outcome.
    """
    task = spawn(_caught(doing), name="until stopped")
    stopping = spawn(stop.wait(), name="stop signal")
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        outcome = task.result() if task.done() else None
    finally:
        task.cancel()
        stopping.cancel()
    if isinstance(outcome, EngineUnavailable):
        raise outcome
    return outcome


async def _caught(doing: Coroutine[Any, Any, T]) -> T | EngineUnavailable:
    """The error is handed over, since one that ends a task would be logged as a fault of ours."""
    try:
        return await doing
    except EngineUnavailable as error:
        return error
