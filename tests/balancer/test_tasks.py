from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from balancer import tasks


async def test_a_task_is_held_until_it_ends() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    tasks.spawn(work(), name="work")
    gc.collect()
    go.set()
    async with asyncio.timeout(5):
        await done.wait()
    await asyncio.sleep(0)
    assert not any(task.get_name() == "work" for task in tasks._running)


async def test_what_a_task_raises_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks() -> None:
        raise RuntimeError("boom")

    task = tasks.spawn(breaks(), name="the broken one")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert "the broken one" in caplog.text
    assert "boom" in caplog.text


async def test_all_are_cancelled_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    cleaned = []

    async def sleeps() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    for number in range(3):
        tasks.spawn(sleeps(), name=f"sleeper {number}")
    await asyncio.sleep(0)
    with caplog.at_level(logging.ERROR):
        await tasks.cancel_all()
    assert cleaned == [True] * 3
    assert caplog.messages == []


async def test_a_task_may_ask_for_the_end_of_all_others() -> None:
    async def ends_all() -> None:
        await tasks.cancel_all()

    async with asyncio.timeout(5):
        await tasks.spawn(ends_all(), name="the last")
