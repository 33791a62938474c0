"""Embeddings and responses at an engine: what it is asked, and when a stream of responses is complete."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balancer.request import Request
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import HttpUpstream
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.engine import STREAM_HEAD, Engine, Listener, Visit, asked

CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\n'
DELTA = (
    b'event: x\ndata: {"type":"response.output_text.delta","delta":"data: [DONE] response.completed \\"error\\""}\n\n'
)
COMPLETED = b'event: response.completed\ndata: {"type":"response.completed","response":{"error":null}}\n\n'


def a_request(endpoint: str, raw: bytes, *, stream: bool = False) -> Request:
    body: dict[str, Any] = json.loads(raw)
    return Request("r1", "local", endpoint, body, len(raw), body.get("model"), stream, raw, resumable=False)


async def ask(engine: Engine, request: Request) -> Listener:
    pool = ConnectionPool()
    spec = a_spec("gpu", port=engine.port, endpoints=frozenset({"chat", "embeddings", "responses"}))
    listener = await asked(HttpUpstream(pool), spec, request)
    pool.close()
    return listener


@pytest.mark.parametrize("endpoint", ["embeddings", "responses"])
async def test_a_body_and_its_answer_go_through_to_the_byte(endpoint: str) -> None:
    raw, whole = b' {"input" : [1,2], "model":"m", "odd":1.50}', b'{ "choices":5 }\n'

    async def answers(v: Visit) -> None:
        await v.plain(200, whole)

    async with Engine(answers).running() as engine:
        listener = await ask(engine, a_request(endpoint, raw))
        assert engine.visits[0].head.startswith(b"POST /v1/" + endpoint.encode())
        assert engine.visits[0].body == raw
    assert listener.ended and listener.body == whole


async def test_a_model_that_was_not_named_is_named_to_the_engine() -> None:
    async def answers(v: Visit) -> None:
        await v.plain(200, b"{}")

    async with Engine(answers).running() as engine:
        await ask(engine, a_request("embeddings", b'{"input":"x"}'))
        assert json.loads(engine.visits[0].body) == {"input": "x", "model": "m"}


async def test_a_stream_of_responses_is_asked_for_as_it_is_and_ends_with_its_last_event() -> None:
    raw = b'{"input":"x","model":"m","stream":true}'

    async def answers(v: Visit) -> None:
        await v.send(STREAM_HEAD)
        await v.chunks(CREATED, DELTA, COMPLETED)
        await v.left()  # the engine need not close

    async with Engine(answers).running() as engine:
        listener = await ask(engine, a_request("responses", raw, stream=True))
        assert engine.visits[0].body == raw
    assert listener.ended and listener.raw == CREATED + DELTA + COMPLETED


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (b"", "ended before"),
        (b"data: [DONE]\n\n", "ended before"),
        (b'event: error\ndata: {"type":"error","message":"oom"}\n\n', "oom"),
        (COMPLETED[:-1], "ended before"),
    ],
)
async def test_one_that_ends_otherwise_is_broken_and_its_end_is_not_relayed(last: bytes, why: str) -> None:
    found = Listener()

    async def breaks(v: Visit) -> None:
        await v.send(STREAM_HEAD)
        await v.chunks(CREATED, DELTA)
        await found.first.wait()
        await v.chunks(*[last] if last else [])
        await v.send(b"0\r\n\r\n")

    async with Engine(breaks).running() as engine:
        spec = a_spec("gpu", port=engine.port, endpoints=frozenset({"responses"}))
        request = a_request("responses", b'{"input":"x","model":"m","stream":true}', stream=True)
        HttpUpstream(ConnectionPool()).ask(spec, request, "m", found)
        async with asyncio.timeout(10.0):
            await found.over.wait()
    assert found.failure is not None and found.failure.code == "backend_failed" and why in found.failure.message
    assert found.raw and (CREATED + DELTA).startswith(found.raw)
