from __future__ import annotations

import asyncio
import os
import signal

import pytest

from backend.errors import EngineUnavailable
from backend.stopping import StopSignals, unless

WAIT_S = 20.0


async def answer() -> str:
    await asyncio.sleep(0)
    return "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_sets_the_first_event_and_the_next_the_second(number: signal.Signals) -> None:
    stop = StopSignals()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(WAIT_S):
        await stop.first.wait()
    assert not stop.second.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(WAIT_S):
        await stop.second.wait()


async def test_what_ends_first_gives_its_outcome() -> None:
    assert await unless(asyncio.Event(), answer()) == "done"


async def test_a_stop_cancels_what_still_runs() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(WAIT_S):
        assert await unless(stop, endless()) is None
        await cancelled.wait()


async def test_being_cancelled_cancels_what_runs() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.ensure_future(unless(asyncio.Event(), endless()))
    async with asyncio.timeout(WAIT_S):
        await began.wait()
        waiting.cancel()
        await cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_unavailable_engine_is_raised_and_not_logged_as_our_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise EngineUnavailable("no such model")

    with pytest.raises(EngineUnavailable, match="no such model"):
        await unless(asyncio.Event(), fails())
    assert not caplog.records
