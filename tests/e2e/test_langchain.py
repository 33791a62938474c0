"""LangChain's ChatOpenAI and OpenAIEmbeddings against the running daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.e2e.fake_engine import DONE, HEAD, Wire, chunk, engine, event
from tests.e2e.pool import FREED_S, Pool, backend, balancer, pool
from tests.e2e.talk import echoed

langchain_openai = pytest.importorskip("langchain_openai")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    """Two slots, fifty tokens a second; nothing is cached."""
    async with pool(backends=[["--slots", "2", "--echo-delay-ms", "20"]]) as found:
        yield found


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the test's goes anywhere else."""
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")


def chat(port: int, **options: Any) -> Any:
    settings: dict[str, Any] = {"model": "echo", "max_retries": 0, "timeout": 30.0, **options}
    return langchain_openai.ChatOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", **settings)


async def test_a_chat(running: Pool) -> None:
    found = await chat(running.port).ainvoke([("system", "say"), ("human", "one two three")])
    assert found.content == "one two three"
    assert found.usage_metadata["output_tokens"] == 3
    assert found.response_metadata["finish_reason"] == "stop" and found.response_metadata["model_name"] == "echo"


async def test_the_blocking_chat(running: Pool) -> None:
    found = await asyncio.to_thread(chat(running.port).invoke, "one two")
    assert found.content == "one two"


@pytest.mark.parametrize("usage", [False, True])
async def test_a_chat_streams_word_by_word(running: Pool, usage: bool) -> None:
    model = chat(running.port, max_tokens=20, extra_body={"ignore_eos": True}, stream_usage=usage)
    pieces = [piece async for piece in model.astream("one two")]
    assert "".join(piece.content for piece in pieces) == echoed("one two", 20)
    assert sum(bool(piece.content) for piece in pieces) >= 10
    told = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    assert [one["output_tokens"] for one in told] == [20] * usage


async def test_many_at_once(running: Pool) -> None:
    found = await chat(running.port).abatch([f"q {n}" for n in range(12)])
    assert [one.content for one in found] == [f"q {n}" for n in range(12)]
    await running.balancer.until_idle()


async def test_errors_are_those_of_the_client(running: Pool) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        await chat(running.port, temperature=-1).ainvoke("x")  # the engine's own word
    assert bad.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as empty:
        await chat(running.port).ainvoke([("human", " ")])
    assert empty.value.code == "empty_prompt"


async def test_it_asks_again_until_there_is_a_backend() -> None:
    async with balancer() as front:
        asking = asyncio.create_task(chat(front.port, max_retries=20).ainvoke("one"))
        async with backend(front.port):
            assert (await asking).content == "one"


async def test_a_stream_that_breaks_raises_and_never_just_ends() -> None:
    """Fault 18."""

    async def script(body: dict[str, Any], wire: Wire) -> None:
        piece = event("one ").replace(b'"text": "one "', b'"delta": {"role": "assistant", "content": "one "}')
        await wire.send(HEAD + chunk(piece))
        await wire.until_read()
        await wire.send(chunk(b'data: {"error":{"message":"out of memory"}}\n\n' + DONE))

    async with engine(script) as found, balancer("--upstream", found.url) as front:
        await front.until(lambda status: len(status.alive) == 1)
        stream = chat(front.port).astream("x")
        pieces = [(await anext(stream)).content]
        found.read_by_client.set()
        with pytest.raises(openai.APIError) as broken:
            pieces += [piece.content async for piece in stream]
        assert broken.value.code == "backend_failed"
        assert "".join(pieces) == "one "


async def test_who_stops_reading_frees_the_slot(running: Pool) -> None:
    """Fault 29."""
    model = chat(running.port, max_tokens=5000, extra_body={"ignore_eos": True})
    stream = model.astream("one")
    await anext(stream)
    await stream.aclose()
    await running.balancer.until(lambda status: status.idle, FREED_S)


async def test_tools_pass_through() -> None:
    """What an agent's framework sends and gets besides text."""
    call = b'"delta": {"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "type": "function", '
    call += b'"function": {"name": "add", "arguments": "{\\"a\\": 1}"}}]}'

    async def script(body: dict[str, Any], wire: Wire) -> None:
        last = event("", "tool_calls").replace(b'"text": ""', b'"delta": {}')
        await wire.send(HEAD + chunk(event("one").replace(b'"text": "one"', call) + last + DONE))

    async with engine(script) as found, balancer("--upstream", found.url) as front:
        await front.until(lambda status: len(status.alive) == 1)
        tool = {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {}}}
        stream = chat(front.port).bind_tools([{"type": "function", "function": tool}]).astream("x")
        pieces = [piece async for piece in stream]
        calls = [one for piece in pieces for one in piece.tool_call_chunks]
        assert [(one["name"], one["args"]) for one in calls] == [("add", '{"a": 1}')]
        assert found.asked[0]["tools"][0]["function"]["name"] == "add"
