"""``POST /v1/responses`` and a backend's own embeddings with the official Python SDK, against an engine by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, FakeEngine, Script, Wire, chunk, engine
from tests.e2e.pool import FREED_S, Balancer, balancer, http
from tests.e2e.raw_agent import registered

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "thinker"
OUTPUT = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "one two", "annotations": []}],
    }
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Balancer]:
    async with balancer() as found:
        yield found


@asynccontextmanager
async def asking(front: Balancer, script: Script, *, retries: int = 0) -> AsyncIterator[tuple[AsyncOpenAI, FakeEngine]]:
    """A client, and the one engine that offers responses and embeddings."""
    url = f"http://127.0.0.1:{front.port}/v1"
    offered: dict[str, Any] = {"endpoints": ["responses", "embeddings"], "models": [{"name": MODEL}]}
    async with engine(script) as found, registered(front.port, found.url, **offered):
        await front.until(lambda status: len(status.alive) == 1)
        async with AsyncOpenAI(base_url=url, api_key="any", max_retries=retries, timeout=30.0) as client:
            yield client, found
        await front.until_idle()
    await front.until(lambda status: not status.alive)


def response(status: str, **fields: Any) -> dict[str, Any]:
    output = OUTPUT if status == "completed" else []
    body = {"id": "resp_1", "object": "response", "created_at": 1, "model": MODEL, "status": status, "output": output}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "metadata": {}}
    return {**body, **rest, **fields}


def event(type: str, number: int, **fields: Any) -> bytes:
    body = json.dumps({"type": type, "sequence_number": number, **fields})
    return f"event: {type}\ndata: {body}\n\n".encode()


def delta(number: int, text: str) -> bytes:
    place: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    return event("response.output_text.delta", number, delta=text, **place)


async def whole(wire: Wire, body: dict[str, Any] | list[Any], status: str = "200 OK") -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    await wire.send(head.encode() + data)


async def test_a_whole_response(front: Balancer) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        await whole(wire, response("completed"))

    async with asking(front, script) as (client, found):
        raw = await client.responses.with_raw_response.create(model=MODEL, input="hi", reasoning={"effort": "low"})
        assert raw.parse().output_text == "one two"
        assert found.heads[0].startswith("post /v1/responses ")
        assert found.asked == [{"model": MODEL, "input": "hi", "reasoning": {"effort": "low"}}]
        assert (raw.headers["x-balancer-backend"], raw.headers["x-balancer-cache"]) == ("by-hand", "off")


@pytest.mark.parametrize("last", ["completed", "incomplete", "failed"])
async def test_a_streamed_response_comes_event_by_event_and_ends_by_itself(front: Balancer, last: str) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event("response.created", 0, response=response("in_progress"))))
        for number, text in enumerate(("one ", "response.completed"), 1):
            await wire.send(chunk(delta(number, text)))
        await wire.until_read()
        await wire.send(chunk(event(f"response.{last}", 3, response=response(last))) + LAST_CHUNK)

    async with asking(front, script) as (client, found):
        stream = await client.responses.create(model=MODEL, input="hi", stream=True)
        types = []
        async for one in stream:
            types.append(one.type)
            if len(types) == 3:
                found.read_by_client.set()
        assert types == ["response.created", *["response.output_text.delta"] * 2, f"response.{last}"]
        assert "stream_options" not in found.asked[0]


async def test_the_helper_that_gathers_a_response(front: Balancer) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        sent = event("response.created", 0, response=response("in_progress"))
        sent += event("response.completed", 1, response=response("completed"))
        await wire.send_sliced(HEAD + chunk(sent) + LAST_CHUNK, 7)

    async with asking(front, script) as (client, _):
        async with client.responses.stream(model=MODEL, input="hi") as stream:
            assert (await stream.get_final_response()).output_text == "one two"


@pytest.mark.parametrize("way", ["reset", "ends", "done mark", "error event"])
async def test_a_response_that_breaks_raises_and_never_just_ends(front: Balancer, way: str) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(delta(41, "one ")))
        await wire.until_read()
        if way == "reset":
            wire.reset()
        elif way == "error event":
            await wire.send(chunk(event("error", 42, code="oom", message="out of memory", param=None)))
        else:
            await wire.send((chunk(b"data: [DONE]\n\n") if way == "done mark" else b"") + LAST_CHUNK)

    async with asking(front, script) as (client, found):
        stream = await client.responses.create(model=MODEL, input="hi", stream=True)
        assert (await anext(stream)).type == "response.output_text.delta"
        found.read_by_client.set()
        with pytest.raises(openai.APIError) as broken:
            assert [one async for one in stream] == []
        assert broken.value.code == "backend_failed"
        assert len(found.asked) == 1


async def test_who_leaves_a_response_stops_the_engine(front: Balancer) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(delta(1, "one ")))
        await wire.hung_up()

    async with asking(front, script) as (client, found):
        stream = await client.responses.create(model=MODEL, input="hi", stream=True)
        await anext(stream)
        await stream.close()
        await asyncio.wait_for(found.cancelled.wait(), FREED_S)


async def test_the_engines_own_refusal_is_the_clients_error(front: Balancer) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        await whole(wire, {"error": {"message": "no such tool", "code": "bad_tool"}}, "400 Bad Request")

    async with asking(front, script) as (client, _):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model=MODEL, input="hi", stream=stream)
            assert refused.value.code == "bad_tool"


async def test_a_failure_is_asked_again_by_the_client(front: Balancer) -> None:
    async def script(body: dict[str, Any], wire: Wire) -> None:
        if len(found.asked) == 1:
            await whole(wire, {"error": "no"}, "500 Oops")
        else:
            await whole(wire, response("completed"))

    async with asking(front, script, retries=1) as (client, found):
        assert (await client.responses.create(model=MODEL, input="hi")).output_text == "one two"
        assert len(found.asked) == 2


async def test_a_kept_response_is_not_to_be_had_here(front: Balancer) -> None:
    for method in ("GET", "DELETE"):
        answer = await http(front.port, method, "/v1/responses/resp_1")
        assert (answer.status, answer.json()["error"]["code"]) == (501, "not_implemented")
        assert "one backend" in answer.json()["error"]["message"]
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("given", ["hi", ["hi", "there"], [[1, 2, 3]]])
async def test_embeddings_of_a_backend(front: Balancer, given: Any) -> None:
    vector = base64.b64encode(struct.pack("<3f", 1.0, 0.5, -2.0)).decode()

    async def script(body: dict[str, Any], wire: Wire) -> None:
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        await whole(wire, {"object": "list", "data": data, "model": MODEL, "usage": {"prompt_tokens": 2}})

    async with asking(front, script) as (client, found):
        answer = await client.embeddings.create(model=MODEL, input=given, dimensions=3)
        assert answer.data[0].embedding == [1.0, 0.5, -2.0]
        assert found.heads[0].startswith("post /v1/embeddings ")
        assert found.asked[0]["encoding_format"] == "base64" and found.asked[0]["input"] == given
