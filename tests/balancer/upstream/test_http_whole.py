"""Answers in one piece."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import HttpUpstream
from tests.balancer.upstream.answers import BODY, answers, whole_request
from tests.balancer.upstream.engine import (
    Engine,
    Listener,
    Visit,
    a_request,
    asked,
    spec_of,
)


async def whole_answer(v: Visit) -> None:
    await v.plain(200, BODY)


async def test_a_whole_answer_is_relayed_untouched_and_its_connection_is_kept() -> None:
    pool = ConnectionPool()
    async with Engine(whole_answer).running() as engine:
        for _ in range(3):
            listener = await asked(HttpUpstream(pool), spec_of(engine), whole_request())
            assert listener.ended and listener.body == BODY and listener.raw == b""
            assert pool.idle == 1
        assert engine.connections == 1
        head = engine.visits[0].head.decode().lower()
        pool.close()
    assert "\r\naccept: application/json\r\n" in head
    assert "stream" not in json.loads(engine.visits[0].body)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_goes_to_the_engine_as_it_came(stream: bool) -> None:
    raw = b'{"prompt":  "h\\u0065llo","model":"m" , "x": 1.50,"x":2%b}\n' % (b',"stream":true' if stream else b"")
    async with Engine(answers if stream else whole_answer).running() as engine:
        request = replace(a_request(model="m", x=2), stream=stream, raw=raw)
        assert (await asked(HttpUpstream(ConnectionPool()), spec_of(engine), request)).ended
        body = engine.visits[0].body
    assert body == (raw if not stream else raw[:-2] + b',"stream_options":{"include_usage":true}}')


async def test_a_whole_answer_in_slices_or_up_to_the_end_of_the_connection_is_the_same() -> None:
    async def slices(v: Visit) -> None:
        await v.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await v.slices(b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n")

    async def closes(v: Visit) -> None:
        await v.send(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)
        v.close()

    async with Engine(slices, closes).running() as engine:
        for _ in range(2):
            listener = await asked(HttpUpstream(ConnectionPool()), spec_of(engine), whole_request())
            assert listener.ended and listener.body == BODY


async def test_an_answer_of_the_other_endpoint_comes_in_the_form_that_was_asked() -> None:
    async def chats(v: Visit) -> None:
        await v.plain(200, b'{"model":"m","choices":[{"message":{"role":"assistant","content":"hi"}}]}')

    async with Engine(chats).running() as engine:
        spec = replace(spec_of(engine), endpoints=frozenset({"chat"}))
        listener = await asked(HttpUpstream(ConnectionPool()), spec, whole_request())
        assert engine.visits[0].head.startswith(b"POST /v1/chat/completions ")
    assert listener.body is not None
    assert json.loads(listener.body)["choices"][0]["text"] == "hi"


async def test_a_whole_call_that_is_cancelled_hangs_up() -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def slow(v: Visit) -> None:
        await v.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + BODY)
        began.set()
        await v.left()
        gone.set()

    async with Engine(slow).running() as engine:
        listener = Listener()
        call = HttpUpstream(ConnectionPool()).ask(spec_of(engine), whole_request(), "m", listener)
        async with asyncio.timeout(5):
            await began.wait()
            call.cancel()
            await gone.wait()
        assert listener.body is None and not listener.over.is_set()
