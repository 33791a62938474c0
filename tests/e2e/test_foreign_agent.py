"""Engines that are not ours, with an agent beside them: registered, watched, and out of service while they are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.backend.foreign_engine import ANSWER, ForeignEngine, foreign_engine, ollama, vllm, vllm_metrics
from tests.e2e.pool import BEAT_S, SLOW_MACHINE_S, balancer
from tests.e2e.programs import Program, output_of, python, started
from tests.e2e.talk import ask

POLL_S = 0.2
OUT_S = 3 * BEAT_S + 2 * POLL_S + SLOW_MACHINE_S
"""Two polls without an answer, then the next beats say it."""


@asynccontextmanager
async def agent(engine: ForeignEngine, to: int, *arguments: str) -> AsyncIterator[Program]:
    given = ["--engine-url", engine.url, "--balancer", f"127.0.0.1:{to}", "--poll-interval", str(POLL_S), "--log-json"]
    async with started("agent", python("backend", "agent", *given, *arguments)) as program:
        await program.until_ready()
        yield program


async def test_a_vllm_is_registered_asked_missed_and_taken_back() -> None:
    async with (
        foreign_engine(vllm()) as engine,
        balancer() as front,
        agent(engine, front.port) as beside,
    ):
        name = beside.ready["name"]
        assert (name, beside.ready["engine"]) == (f"127.0.0.1:{engine.port}", "vllm")
        await front.until_alive(beside)
        answer = await ask(front.port, "a story", model="m")
        assert (answer.text, answer.backend) == ("".join(ANSWER), name)

        engine.replies["/metrics"] = (200, vllm_metrics(running=3, waiting=2, tokens=7))
        await front.until(lambda status: status.running(name) == 3)
        engine.replies["/metrics"] = (200, vllm_metrics())

        await engine.stop()
        await front.until(lambda status: status.state(name) == "joining", OUT_S)
        assert (await ask(front.port, "anybody?", model="m", deadline_s=0.5)).error is not None
        await engine.start()
        await front.until(lambda status: status.state(name) == "alive", OUT_S)
        assert (await ask(front.port, "again", model="m")).text == "".join(ANSWER)

        beside.terminate()
        assert await beside.exited() == 0
        await front.until(lambda status: status.state(name) is None)


async def test_an_agent_waits_for_its_engine_and_tells_what_it_assumes() -> None:
    engine = ForeignEngine(ollama())
    await engine.start()
    await engine.stop()
    async with balancer() as front:
        arguments = ["--engine-url", engine.url, "--balancer", f"127.0.0.1:{front.port}", "--log-json"]
        async with started("agent", python("backend", "agent", *arguments)) as program:
            await program.wrote("waiting for the engine")
            await engine.start()
            await program.until_ready()
            await program.wrote("OLLAMA_NUM_PARALLEL")
            status = await front.until_alive(program)
            backend = status.backend(program.ready["name"])
            assert backend is not None
            assert (backend["models"], backend["slots"]) == (["llama3.2:latest", "q:1b"], 4)
    await engine.stop()


async def test_an_engine_that_wants_a_key_is_refused_with_the_way_out() -> None:
    async with foreign_engine({**vllm(), "/v1/models": (401, {"error": "Unauthorized"})}) as engine:
        status, _, err = await output_of(python("backend", "agent", "--engine-url", engine.url))
        assert status == 1
        assert "--upstream 'URL;key-env=NAME'" in err


async def test_help_needs_no_extra_and_names_the_agent() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['httptools', 'uvloop', 'asyncio_dgram']));"
    run = "sys.argv[:1] = ['llm-backend']; from backend.__main__ import main; main()"
    code = [*python("backend")[:1], "-c", blocked + run]
    for arguments, word in ((["--help"], "backend agent"), (["agent", "--help"], "--engine-url")):
        status, out, err = await output_of([*code, *arguments])
        assert (status, err) == (0, "") and word in out
    status, _, err = await output_of([*code, "0", "--model", "echo"])
    assert status == 1 and "pip install '.[backend]' in a checkout" in err
