"""Programs of the earlier text protocol, unchanged, on either side of the balancer, and mixed with everybody else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.pool import SLOW_MACHINE_S, Balancer, Pool, backend, balancer, pool
from tests.e2e.programs import Program, output_of, started
from tests.e2e.talk import ask, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAMS = str(Path(__file__).with_name("classic_programs.py"))
STYLES = ("keeps", "closes", "once")
LISTENS_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Balancer]:
    """A balancer whose pool is empty between tests."""
    async with balancer("-c") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def native() -> AsyncIterator[Pool]:
    """A native backend."""
    async with pool(backends=[["--name", "only"]]) as found:
        yield found


@asynccontextmanager
async def classic_server(front: Balancer, style: str, seconds: float = 0.0) -> AsyncIterator[Program]:
    """An old server, in service."""
    command = [sys.executable, PROGRAMS, "server", str(front.port), style, str(seconds)]
    async with started(f"classic server ({style})", command) as program:
        await program.until_ready()
        await front.until_alive(program)
        yield program
        await program.kill()
        await front.until(lambda status: status.state(program.ready["name"]) is None)


async def classic_client(port: int, *prompts: str) -> list[str]:
    """What an old client printed."""
    status, out, err = await output_of([sys.executable, PROGRAMS, "client", str(port), *prompts])
    assert status == 0, err
    return out.splitlines()


async def test_an_old_client_is_answered_by_a_native_backend(native: Pool) -> None:
    assert await classic_client(native.port, "hello there", "and again") == ["hello there", "and again"]
    await native.balancer.until_idle()


async def test_greeting_and_first_prompt_may_come_in_one_segment(native: Pool) -> None:
    async with talk(native.port) as connection:
        connection.write(b"CLIENT|ADDfirst words")
        assert await connection.reader.read(1024) == b"first words"
        connection.write(b"second words\n")
        assert await connection.reader.read(1024) == b"second words"


async def test_a_long_answer_goes_to_an_old_client_in_one_write_and_an_error_in_one_line(native: Pool) -> None:
    async with talk(native.port) as connection:
        connection.write(b"CLIENT|ADD")
        prompt = " ".join(f"word{n}" for n in range(100))
        connection.write(prompt.encode())
        assert (await connection.reader.read(65536)).decode() == prompt
        await native.balancer.drain("only")
        connection.write(b"anybody?")
        error = (await connection.reader.read(65536)).decode()
        await native.balancer.drain("only", undo=True)
        assert error.startswith("ERROR ") and error.count("\n") == 1 and error.endswith("\n")


@pytest.mark.parametrize("style", ["keeps", "closes"])
async def test_a_native_client_is_answered_by_an_old_server(front: Balancer, style: str) -> None:
    """Prompt after prompt, on one connection or on many."""
    async with classic_server(front, style) as program:
        for n in range(4):
            answer = await ask(front.port, f"question {n}")
            assert answer.text == f"QUESTION {n}" and answer.backend == program.ready["name"]
        chat = json.dumps({"id": 1, "messages": [{"role": "user", "content": "as a chat"}]}).encode() + b"\n"
        async with talk(front.port) as connection:
            connection.write(chat)
            answer = connection.expect(1)
            await connection.ended(answer)
        assert "AS A CHAT" in answer.text
        await front.until_idle()


async def test_old_servers_that_take_their_time() -> None:
    """Two things that need more than ten seconds to be seen, side by side."""
    await asyncio.gather(check_every_style(), check_long_thought())


async def check_every_style() -> None:
    """One style reads only once on a connection and leaves it open: the balancer finds out, and remembers."""
    async with balancer("-c") as front, AsyncExitStack() as stack:
        for style in STYLES:
            await stack.enter_async_context(classic_server(front, style))
        prompts = [[f"client {c} prompt {p}" for p in range(4)] for c in range(3)]
        answers = await asyncio.gather(*(classic_client(front.port, *each) for each in prompts))
        assert answers == [[prompt.upper() for prompt in each] for each in prompts]
        status = await front.until_idle()
        assert len(status.alive) == 3 and "attempts_failed" not in status["counts"]


async def check_long_thought() -> None:
    """A server's beats stop while it generates, here for longer than the ten seconds that silence may last."""
    async with (
        balancer() as front,
        classic_server(front, "keeps", 10.8) as program,
        talk(front.port) as connection,
    ):
        answer = connection.ask("take your time")
        await connection.ended(answer)
        assert answer.text == "TAKE YOUR TIME"
        status = await front.status()
        assert status.state(program.ready["name"]) == "alive" and "-> dead" not in front.program.log


async def test_a_refused_dial_right_after_registering_is_tried_again(front: Balancer) -> None:
    """The old server registers before it listens: who asks in between waits a moment and blames nobody."""
    command = [sys.executable, PROGRAMS, "server", str(front.port), "keeps"]
    async with started("classic server", command) as program:
        await front.until(lambda status: status.alive)
        answer = await ask(front.port, "early bird", within_s=LISTENS_S)
        assert answer.text == "EARLY BIRD"
        assert answer.done is not None and answer.done["attempts"] == 1
        await program.kill()
        await front.until(lambda status: not status["backends"])


async def test_old_and_new_backends_serve_one_pool() -> None:
    """A prompt that is too long for an old server's one read goes to the other; a named model, too."""
    async with (
        balancer("-r") as front,
        classic_server(front, "keeps") as old,
        backend(front.port, "--name", "new") as new,
    ):
        await front.until_alive(old, new)
        answers = [await ask(front.port, f"mixed {n}") for n in range(6)]
        assert {answer.backend for answer in answers} == {old.ready["name"], "new"}
        assert {answer.text.lower() for answer in answers} == {f"mixed {n}" for n in range(6)}
        long_prompt = "x" * 1000
        assert [(await ask(front.port, long_prompt)).backend for _ in range(3)] == ["new"] * 3
        assert [(await ask(front.port, "named", model="echo")).backend for _ in range(3)] == ["new"] * 3
        clients = await asyncio.gather(*(classic_client(front.port, f"client {n}") for n in range(3)))
        assert [line.lower() for (line,) in clients] == [f"client {n}" for n in range(3)]


async def test_a_prompt_too_long_for_every_old_server_is_refused(front: Balancer) -> None:
    async with classic_server(front, "keeps"):
        answer = await ask(front.port, "x" * 1000)
        assert answer.code == "context_length_exceeded"
        fits = await ask(front.port, "y" * 987)
        assert fits.text == "Y" * 987


async def test_an_old_server_works_on_one_prompt_at_a_time(front: Balancer) -> None:
    async with classic_server(front, "keeps", 0.4), talk(front.port) as connection:
        answers = [connection.ask(f"one of {n}", n) for n in range(4)]
        await connection.until(lambda: all(answer.queued for answer in answers[1:]))
        assert (await front.status()).in_flight <= 1 and not answers[0].queued
        await connection.ended(*answers)
        assert [answer.text for answer in answers] == [f"ONE OF {n}" for n in range(4)]
        assert [answer.queued[0] for answer in answers[1:]] == [1, 2, 3]


async def test_an_old_server_that_ends_is_out_at_once(front: Balancer) -> None:
    async with classic_server(front, "keeps", 30.0) as program, talk(front.port) as connection:
        answer = connection.ask("unanswered")
        await front.until(lambda status: status.in_flight == 1)
        await program.kill()
        await connection.ended(answer, within_s=SLOW_MACHINE_S)
        assert answer.error is not None
        await front.until(lambda status: status["backends"] == [], SLOW_MACHINE_S)


async def test_a_registration_that_makes_no_sense_is_refused(front: Balancer) -> None:
    for garbage in (b"REGISTER|a b|80", b"REGISTER|127.0.0.1|99999", b"REGISTER|169.254.169.254|80", b"REGISTER||"):
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(garbage)
        async with asyncio.timeout(20.0):
            assert await reader.read() == b"INVALID REGISTER MESSAGE", garbage
        writer.close()
    assert (await front.status())["backends"] == []
