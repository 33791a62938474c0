"""The first minute: a command line, a question, an answer; health for whoever watches; a chat client in a pipe."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import client
from tests.e2e.pool import Pool, balancer, http, pool
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask, echoed, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    async with pool(backends=[["--slots", "4", "--echo-delay-ms", "10"]]) as found:
        yield found


@pytest.mark.skipif(shutil.which("nc") is None, reason="needs nc")
async def test_one_command_line_streams_an_answer(running: Pool) -> None:
    line = b'{"prompt":"Once upon a time"}\n'
    status, out, _ = await output_of(["nc", "-N", "127.0.0.1", str(running.port)], line)
    replies = [json.loads(reply) for reply in out.splitlines() if reply]
    assert status == 0
    pieces = [reply["text"] for reply in replies[:-1]]
    assert "".join(pieces) == "Once upon a time" and len(pieces) > 1
    assert replies[-1]["done"]["finish_reason"] == "stop"
    assert replies[-1]["done"]["backend"] == running.backends[0].ready["name"]


async def test_an_answer_tells_what_it_cost(running: Pool) -> None:
    answer = await ask(running.port, "one two three")
    assert answer.done is not None
    assert answer.done["model"] == "echo" and answer.done["cache"] == "off" and answer.done["attempts"] == 1
    assert answer.done["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


async def test_requests_without_id_are_answered_one_by_one_in_order(running: Pool) -> None:
    async with talk(running.port) as connection:
        connection.write(b'{"prompt":"a b"}\n{"prompt":"c d"}\n{"prompt":"e f"}\n')
        connection.half_close()
        lines = (await connection.reader.read()).decode().splitlines()
    replies = [json.loads(line) for line in lines if line]
    assert "".join(reply.get("text", "|") for reply in replies) == "a b|c d|e f|"


async def test_requests_with_ids_run_at_once_on_one_connection(running: Pool) -> None:
    async with talk(running.port) as connection:
        slow = connection.ask("a word", 1, **endless(4000))
        await connection.begun(slow)
        quick = connection.ask("x y", "two")
        await connection.ended(quick)
        assert not slow.ended
        connection.cancel(1)
        await connection.ended(slow)
    assert echoed("a word", 4000).startswith(slow.text) and quick.text == "x y"


async def test_a_cancelled_request_is_answered_and_its_connection_lives_on(running: Pool) -> None:
    async with talk(running.port) as connection:
        long = connection.ask("a word", 1, **endless(4000))
        await connection.begun(long)
        connection.cancel(1)
        await connection.ended(long)
        assert long.done is not None and long.done["finish_reason"] == "cancelled"
        again = connection.ask("b c", 2)
        await connection.ended(again)
    assert again.text == "b c"
    await running.balancer.until_idle()


async def test_a_conversation_is_asked_like_a_prompt(running: Pool) -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say this"}]
    async with talk(running.port) as connection:
        connection.write(json.dumps({"id": 1, "messages": messages}).encode() + b"\n")
        answer = connection.expect(1)
        await connection.ended(answer)
    assert answer.text == "say this"


async def test_health_is_told_over_http_on_the_same_port(running: Pool) -> None:
    live, ready, health = [await http(running.port, "GET", path) for path in ("/livez", "/readyz", "/healthz")]
    assert (live.status, ready.status, health.status) == (200, 200, 200)
    assert health.json()["backends"] == 1
    models = await http(running.port, "GET", "/v1/models")
    assert models.status == 200 and [model["id"] for model in models.json()["data"]] == ["echo"]


async def test_http_says_what_it_does_not_do(running: Pool) -> None:
    missing = await http(running.port, "GET", "/nothing/here")
    chat = await http(running.port, "POST", "/v1/chat/completions", "Content-Length: 0")
    assert missing.status == 404 and missing.json()["error"]["code"] == "not_found"
    assert chat.status in (400, 501) and "error" in chat.json()


async def test_without_a_backend_the_process_lives_but_is_not_ready() -> None:
    async with balancer() as front:
        live, ready, health = [await http(front.port, "GET", path) for path in ("/livez", "/readyz", "/healthz")]
        assert (live.status, ready.status, health.status) == (200, 503, 200)
        assert health.json()["status"] == "no_backend"


async def test_the_client_package_streams_and_cancels(running: Pool) -> None:
    async with client.connect("127.0.0.1", running.port) as connection:
        pieces = [piece async for piece in connection.ask("tell me a little more")]
        assert "".join(pieces) == "tell me a little more" and len(pieces) > 1
        answers = [connection.ask(f"question {n}") for n in range(20)]
        assert await asyncio.gather(*(answer.read() for answer in answers)) == [f"question {n}" for n in range(20)]
        long = connection.ask("a word", **endless(4000))
        async for _ in long:
            await long.cancel()
        assert long.done is not None and long.done.finish_reason == "cancelled"
    await running.balancer.until_idle()


async def test_the_client_program_answers_in_a_pipe(running: Pool) -> None:
    status, out, err = await output_of(python("client", "127.0.0.1", str(running.port)), b"Once upon a time\n")
    assert (status, out.strip()) == (0, "Once upon a time"), err
    status, out, err = await output_of(python("client", "127.0.0.1", str(running.port), "-p", "hello", "--json"))
    found = json.loads(out)
    assert status == 0 and found["text"] == "hello", err


async def test_the_client_program_tells_errors_by_its_exit_code(running: Pool) -> None:
    ask_for_nobody = ["127.0.0.1", str(running.port), "-p", "hello", "--model", "no-such-model"]
    refused, _, why = await output_of(python("client", *ask_for_nobody))
    assert refused == 1 and "no-such-model" in why
