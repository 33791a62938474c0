from __future__ import annotations

import asyncio
import logging

import pytest

from frontend.tasks import cancel, spawn


async def test_what_a_task_raises_is_logged_without_its_words(caplog):
    async def fail() -> None:
        raise ValueError("canary")

    with caplog.at_level(logging.ERROR):
        task = spawn(fail(), name="t")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert "task t failed: ValueError" in caplog.text
    assert "canary" not in caplog.text


async def test_cancel_waits_for_the_end():
    ended = asyncio.Event()

    async def run() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = spawn(run(), name="t")
    await asyncio.sleep(0)
    await cancel(task, None)
    assert ended.is_set()
    with pytest.raises(asyncio.CancelledError):
        task.result()
