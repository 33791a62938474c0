from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from backend.agent.discovery import Found, Wanted, discover
from backend.agent.fetch import EngineHttp, engine_url
from backend.agent.poller import Poller
from tests.backend.foreign_engine import ForeignEngine, foreign_engine, listed, vllm, vllm_metrics

NOW = 1e9
"""Any time: the loads below don't depend on it."""


class Polled:
    """A poller that runs at a quick pace."""

    def __init__(self, engine: ForeignEngine, found: Found) -> None:
        self.skipped_s = 0.0
        """How far its clock runs ahead."""
        self.changes: list[Found] = []
        http = EngineHttp(engine_url(engine.url))
        self.poller = Poller(http, found, Wanted(), interval_s=0.01, changed=self.changes.append, clock=self.now)

    def now(self) -> float:
        return time.monotonic() + self.skipped_s

    async def until(self, right: Callable[[], object]) -> None:
        async with asyncio.timeout(20.0), self.poller.polled:
            await self.poller.polled.wait_for(lambda: bool(right()))


@asynccontextmanager
async def polled(engine: ForeignEngine) -> AsyncIterator[Polled]:
    found = await discover(EngineHttp(engine_url(engine.url)), Wanted())
    it = Polled(engine, found)
    task = asyncio.ensure_future(it.poller.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_load_follows_the_metrics() -> None:
    async with foreign_engine(vllm()) as engine, polled(engine) as it:
        await it.until(lambda: it.poller.watch.known_load == 0)
        engine.replies["/metrics"] = (200, vllm_metrics(running=2, waiting=3))
        await it.until(lambda: it.poller.watch.known_load == 5)


async def test_an_engine_that_is_killed_is_missed_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with foreign_engine(vllm()) as engine, polled(engine) as it:
        await engine.stop()
        await it.until(lambda: not it.poller.watch.answers)
        await it.until(lambda: True)
        await engine.start()
        await it.until(lambda: it.poller.watch.answers)
        assert it.changes == []
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "does not answer" in line]) == 1
    assert "the engine answers again" in said


async def test_an_engine_that_says_it_is_not_well_is_not_ready() -> None:
    async with foreign_engine(vllm()) as engine, polled(engine) as it:
        engine.replies["/health"] = (503, "")
        await it.until(lambda: not it.poller.watch.load(NOW).ready)


async def test_back_with_other_models_it_is_registered_anew() -> None:
    async with foreign_engine(vllm()) as engine, polled(engine) as it:
        await engine.stop()
        await it.until(lambda: not it.poller.watch.answers)
        engine.replies["/v1/models"] = listed("vllm", {"id": "other"})
        await engine.start()
        await it.until(lambda: it.changes)
        assert [model.name for model in it.changes[0].models] == ["other"]


async def test_back_and_wanting_a_key_it_stays_out() -> None:
    async with foreign_engine(vllm()) as engine, polled(engine) as it:
        await engine.stop()
        await it.until(lambda: not it.poller.watch.answers)
        engine.replies["/v1/models"] = (401, "")
        await engine.start()
        await it.until(lambda: "GET /v1/models" in engine.asked[-3:])
        assert not it.poller.watch.answers


async def test_an_engine_without_metrics_is_told_once_and_left_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with foreign_engine({**vllm(), "/metrics": (404, "")}) as engine, polled(engine) as it:
        await it.until(lambda: engine.asked.count("GET /health") > 5)
        assert it.poller.watch.load(NOW).ready
    assert engine.asked.count("GET /metrics") == 1
    assert len([r for r in caplog.records if "--enable-metrics" in r.getMessage()]) == 1


async def test_work_that_stands_still_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    working = vllm_metrics(running=1, tokens=5)
    async with foreign_engine({**vllm(), "/metrics": (200, working)}) as engine, polled(engine) as it:
        await it.until(lambda: it.poller.watch.known_load == 1)
        it.skipped_s = 10.5
        await it.until(lambda: "no progress" in caplog.text)
        assert it.poller.watch.load(it.now()).stuck
        engine.replies["/metrics"] = (200, vllm_metrics(running=1, tokens=6))
        await it.until(lambda: "makes progress again" in caplog.text)
