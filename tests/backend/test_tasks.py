from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from backend.tasks import spawn


async def test_a_task_nobody_keeps_still_runs_to_its_end() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        done.set()

    spawn(work(), name="work")
    gc.collect()
    await asyncio.wait_for(done.wait(), 5)


async def test_an_exception_that_ends_a_task_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ValueError("broken")

    await asyncio.wait({spawn(work(), name="the work")})
    await asyncio.sleep(0)
    assert "task the work failed" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


async def test_a_cancelled_task_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.sleep(60), name="sleeper")
    task.cancel()
    await asyncio.wait({task})
    assert not caplog.records
