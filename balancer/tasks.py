"""The only place where the balancer starts tasks.

The event loop keeps just a weak reference to a task, and an exception in one that nobody awaits is shown at garbage
collection, if ever. Here tasks are held until they end, and what they raise is logged when they do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Run a coroutine in the background."""
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task %s failed", task.get_name(), exc_info=error)


async def cancel_all() -> None:
    """Cancel what still runs on this loop and wait until it has ended."""
    loop = asyncio.get_running_loop()
    mine = [task for task in _running if task.get_loop() is loop and task is not asyncio.current_task()]
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
