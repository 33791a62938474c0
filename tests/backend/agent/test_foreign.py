from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend.agent import foreign
from backend.agent.discovery import Wanted
from backend.agent.fetch import engine_url
from backend.agent.foreign import Ready, Settings
from backend.errors import EngineUnavailable
from backend.stopping import DRAIN_GRACE_S
from balancer.wire.control import Refused
from tests.backend.fakes import FakeBalancer, until
from tests.backend.foreign_engine import ForeignEngine, foreign_engine, listed, ollama, vllm, vllm_metrics


def settings(engine: ForeignEngine, balancer: FakeBalancer, **fields: Any) -> Settings:
    given = {"engine_url": engine_url(engine.url), "poll_interval_s": 0.01, "drain_timeout_s": 20.0}
    return Settings(**{**given, "balancers": (("127.0.0.1", balancer.port),), **fields})


@asynccontextmanager
async def running(told: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """It runs; at the end it is told to stop, and has to."""
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(foreign.run(told, ready.set_result))
    try:
        await ready
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20.0):
            await task


async def test_it_registers_what_it_found_and_beats_with_the_engine_s_load() -> None:
    replies = {**vllm(), "/metrics": (200, vllm_metrics(running=2, waiting=1))}
    async with foreign_engine(replies) as engine, FakeBalancer() as balancer:
        async with running(settings(engine, balancer, weight=2.0, labels={"zone": "a"})):
            await balancer.until(lambda: bool(balancer.beats) and balancer.beats[-1][1].running == 2)
    register, beat = balancer.registrations[0], balancer.beats[-1][1]
    assert (register.name, register.url) == (f"127.0.0.1:{engine.port}", engine.url)
    assert (register.engine, register.version, register.slots) == ("vllm", "0.11.0", 256)
    assert (register.endpoints, register.weight) == (("chat", "completions"), 2.0)
    assert register.abilities == ("continue_final_message", "token_ids")
    assert (register.labels, register.models[0].context_length) == ({"zone": "a"}, 4096)
    assert (beat.waiting, beat.slots) == (1, 256)


async def test_while_the_engine_is_gone_its_beats_say_so() -> None:
    async with foreign_engine(vllm()) as engine, FakeBalancer() as balancer, running(settings(engine, balancer)):
        await balancer.until(lambda: bool(balancer.beats) and balancer.beats[-1][1].ready)
        await engine.stop()
        await balancer.until(lambda: not balancer.beats[-1][1].ready)
        await engine.start()
        await balancer.until(lambda: balancer.beats[-1][1].ready)
        assert len(balancer.registrations) == 1


async def test_other_models_are_registered_in_place_of_the_old_ones() -> None:
    async with foreign_engine(vllm()) as engine, FakeBalancer() as balancer, running(settings(engine, balancer)):
        await balancer.until(lambda: bool(balancer.beats))
        await engine.stop()
        await balancer.until(lambda: not balancer.beats[-1][1].ready)
        engine.replies["/v1/models"] = listed("vllm", {"id": "other"})
        await engine.start()
        await balancer.until(lambda: len(balancer.registrations) == 2)
        first, second = balancer.registrations
        assert (second.models[0].name, second.instance) == ("other", first.instance)
        beats = len(balancer.beats)
        await balancer.until(lambda: len(balancer.beats) > beats + 2)


async def test_it_drains_until_the_engine_is_idle_then_leaves() -> None:
    replies = {**vllm(), "/metrics": (200, vllm_metrics(running=1))}
    async with foreign_engine(replies) as engine, FakeBalancer() as balancer:
        async with running(settings(engine, balancer)) as task:
            await balancer.until(lambda: bool(balancer.beats) and balancer.beats[-1][1].running == 1)
            os.kill(os.getpid(), signal.SIGTERM)
            await balancer.until(lambda: ("drain", True) in balancer.told)
            await balancer.until(lambda: balancer.beats[-1][1].draining)
            await asyncio.sleep(DRAIN_GRACE_S + 0.2)
            assert not task.done()
            engine.replies["/metrics"] = (200, vllm_metrics())
            async with asyncio.timeout(20.0):
                await task
        await balancer.until(lambda: ("leave", {}) in balancer.told)


async def test_without_metrics_it_drains_for_the_whole_time() -> None:
    async with foreign_engine(ollama()) as engine, FakeBalancer() as balancer:
        async with running(settings(engine, balancer, drain_timeout_s=0.3)) as task:
            await balancer.until(lambda: bool(balancer.beats))
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(20.0):
                await task
        await balancer.until(lambda: ("leave", {}) in balancer.told)


async def test_told_to_stop_while_it_waits_for_the_engine_it_stops(caplog: pytest.LogCaptureFixture) -> None:
    async with foreign_engine({**vllm(), "/health": (503, "")}) as engine, FakeBalancer() as balancer:
        told: list[Ready] = []
        task = asyncio.ensure_future(foreign.run(settings(engine, balancer), told.append))
        await until(lambda: "waiting for the engine" in caplog.text)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20.0):
            await task
    assert told == [] and balancer.registrations == []


async def test_it_is_ready_only_when_a_balancer_has_taken_it_in(caplog: pytest.LogCaptureFixture) -> None:
    no = Refused("bad_token", "the proof does not match", retry_after_s=0.05)
    told: list[Ready] = []
    async with foreign_engine(vllm()) as engine, FakeBalancer(refusals=[no]) as balancer:
        task = asyncio.ensure_future(foreign.run(settings(engine, balancer), told.append))
        await until(lambda: "this agent has no token" in caplog.text)
        assert told == []
        await until(lambda: bool(told))
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20.0):
            await task


async def test_one_that_is_never_taken_in_still_ends_when_it_is_told_to() -> None:
    no = [Refused("conflict", "the name is taken", retry_after_s=0.05)] * 1000
    told: list[Ready] = []
    async with foreign_engine(vllm()) as engine, FakeBalancer(refusals=no) as balancer:
        task = asyncio.ensure_future(foreign.run(settings(engine, balancer), told.append))
        await until(lambda: len(balancer.registrations) > 1)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20.0):
            await task
    assert told == []


async def test_an_engine_that_can_not_stand_behind_a_balancer_ends_it() -> None:
    async with foreign_engine({**vllm(), "/v1/models": (401, "")}) as engine, FakeBalancer() as balancer:
        with pytest.raises(EngineUnavailable, match="--upstream"):
            await foreign.run(settings(engine, balancer), lambda ready: None)


@pytest.mark.parametrize(
    ("fields", "name", "url"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1"),
        ({"advertise_url": "http://gpu:1"}, "127.0.0.1", "http://gpu:1"),
        ({"name": "gpu-1"}, "gpu-1", "http://127.0.0.1"),
    ],
)
async def test_name_and_url(fields: dict[str, Any], name: str, url: str) -> None:
    async with foreign_engine(vllm()) as engine, FakeBalancer() as balancer:
        async with running(settings(engine, balancer, **fields)):
            await balancer.until(lambda: bool(balancer.registrations))
    register = balancer.registrations[0]
    assert register.name.removesuffix(f":{engine.port}") == name
    assert register.url.removesuffix(f":{engine.port}") == url


async def test_what_an_operator_should_know_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with foreign_engine(ollama()) as engine, FakeBalancer() as balancer:
        elsewhere = (("127.0.0.1", balancer.port), ("192.0.2.1", 1))
        async with running(settings(engine, balancer, key="secret", balancers=elsewhere, drain_timeout_s=0)):
            await balancer.until(lambda: bool(balancer.registrations))
        assert balancer.registrations[0].name.partition(":")[0] != "127.0.0.1"
    for words in ("OLLAMA_NUM_PARALLEL", "balancers ask without it", "the engine must listen there"):
        assert words in caplog.text
    assert "secret" not in caplog.text


async def test_slots_that_are_said_are_not_explained(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with foreign_engine(ollama()) as engine, FakeBalancer() as balancer:
        async with running(settings(engine, balancer, wanted=Wanted(slots=2), drain_timeout_s=0)):
            await balancer.until(lambda: bool(balancer.registrations))
    assert balancer.registrations[0].slots == 2
    assert "OLLAMA_NUM_PARALLEL" not in caplog.text
