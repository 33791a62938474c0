"""Engines that break: a failure, and never a clean end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from balancer.upstream import connection as connections
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import ERROR_BODY_MAX_BYTES, HttpUpstream
from balancer.wire.limits import EVENT_MAX_BYTES, RESPONSE_MAX_BYTES
from tests.balancer.upstream.answers import BODY, WHOLE, answers, whole_request
from tests.balancer.upstream.engine import (
    OPEN_ENDED_HEAD,
    STREAM_HEAD,
    Engine,
    Script,
    Visit,
    asked,
    spec_of,
)
from tests.fakes import text_events


@pytest.mark.parametrize(
    ("status", "code", "told", "retryable", "busy"),
    [
        (429, "backend_busy", 429, True, True),
        (500, "backend_failed", 502, True, False),
        (503, "backend_failed", 502, True, False),
        (401, "backend_failed", 502, True, False),
        (302, "backend_failed", 502, True, False),
        (400, "context_length_exceeded", 400, False, False),
        (404, "context_length_exceeded", 404, False, False),
        (422, "context_length_exceeded", 422, False, False),
    ],
)
async def test_what_a_status_means(status: int, code: str, told: int, retryable: bool, busy: bool) -> None:
    async def refuses(v: Visit) -> None:
        await v.plain(status, b'{"error":{"message":"too long","code":"context_length_exceeded"}}')

    async with Engine(refuses).running() as engine:
        failure = (await asked(HttpUpstream(ConnectionPool()), spec_of(engine))).failure
    assert failure is not None
    assert (failure.code, failure.status, failure.retryable, failure.busy) == (code, told, retryable, busy)
    told_why = "too long" in failure.message
    assert told_why is (status != 401), "what an engine says of our own key may repeat it"


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"7", 7.0), (b"100000", 120.0), (b"-3", 0.0), (b"nan", 1.0), (b"Wed, 21 Oct", 1.0)]
)
async def test_the_time_of_a_busy_engine_is_taken_with_care(value: bytes, seconds: float) -> None:
    async def busy(v: Visit) -> None:
        await v.plain(429, b"{}", b"retry-after: " + value)

    async with Engine(busy).running() as engine:
        failure = (await asked(HttpUpstream(ConnectionPool()), spec_of(engine))).failure
    assert failure is not None
    assert failure.retry_after_s == seconds


def broken(name: str) -> Script:
    async def script(v: Visit) -> None:
        match name:
            case "rst before the first byte":
                v.reset()
            case "fin before the first byte":
                v.close()
            case "rst mid-stream":
                await v.send(STREAM_HEAD)
                await v.chunks(text_events("half"))
                await asyncio.sleep(0.05)
                v.reset()
            case "fin mid-stream":
                await v.send(STREAM_HEAD)
                await v.chunks(text_events("half"))
                v.close()
            case "junk":
                await v.send(b"\x00\x01\x02 what?\r\n\r\n")
            case "html with 200":
                await v.plain(200, b"<html>It works!</html>", kind=b"text/html")
            case "endless html with 200":
                await v.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n" + b"x" * ERROR_BODY_MAX_BYTES + b"x")
                await v.left()
            case "json with 200":
                await v.plain(200, b'{"choices":[{"text":"not streamed"}]}')
            case "no [DONE]":
                await v.send(STREAM_HEAD)
                await v.chunks(text_events("all of it"))
                await v.send(b"0\r\n\r\n")
            case "no [DONE], closed":
                await v.send(OPEN_ENDED_HEAD + text_events("all of it"))
                v.close()
            case "half an event, closed":
                await v.send(OPEN_ENDED_HEAD + text_events("one") + b'data: {"choi')
                v.close()
            case "error event":
                await v.send(STREAM_HEAD)
                await v.chunks(text_events("half"), b'data: {"error":{"message":"out of memory"}}\n\n')
                await v.left()
            case "endless event":
                await v.send(OPEN_ENDED_HEAD, b"data: " + b"x" * EVENT_MAX_BYTES + b"x")
                await v.left()
            case _:
                raise AssertionError(name)

    return script


@pytest.mark.parametrize(
    ("name", "relayed", "said"),
    [
        ("rst before the first byte", "", ""),
        ("fin before the first byte", "", "closed"),
        ("rst mid-stream", "half", ""),
        ("fin mid-stream", "half", "closed"),
        ("junk", "", ""),
        ("html with 200", "", "no event stream"),
        ("endless html with 200", "", "no event stream"),
        ("json with 200", "", "no event stream"),
        ("no [DONE]", "all of it", "ended before"),
        ("no [DONE], closed", "all of it", "ended before"),
        ("half an event, closed", "one", "ended before"),
        ("error event", "half", "out of memory"),
        ("endless event", "", "longer than"),
    ],
)
async def test_a_broken_engine_is_a_failure_and_never_a_clean_end(name: str, relayed: str, said: str) -> None:
    pool = ConnectionPool()
    async with Engine(broken(name)).running() as engine:
        listener = await asked(HttpUpstream(pool), spec_of(engine))
    assert not listener.ended
    assert listener.failure is not None
    assert (listener.failure.code, listener.failure.status) == ("backend_failed", 502)
    assert listener.failure.retryable
    assert said in listener.failure.message
    assert listener.raw in (text_events(relayed) if relayed else b"", b"")
    assert listener.raw or not relayed or name == "error event"
    assert pool.idle <= (1 if name in ("html with 200", "json with 200", "no [DONE]") else 0)


async def test_a_kept_connection_that_had_died_is_nobodys_failure() -> None:
    async def closes_later(v: Visit) -> None:
        await v.stream("first")
        await v.reader.readexactly(1)  # the next request arrives just as the engine gives up on the connection
        v.reset()

    pool = ConnectionPool()
    async with Engine(closes_later, answers).running() as engine:
        upstream, spec = HttpUpstream(pool), spec_of(engine)
        await asked(upstream, spec)
        async with asyncio.timeout(5):
            while not pool.idle:
                await asyncio.sleep(0.001)
        listener = await asked(upstream, spec)
        assert listener.ended
        assert engine.connections == 2


async def test_a_connection_whose_answer_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FINISH_S", 0.05)
    gone = asyncio.Event()

    async def says_done_and_goes_on(v: Visit) -> None:
        await v.send(STREAM_HEAD)
        await v.chunks(WHOLE)
        await v.left()
        gone.set()

    pool = ConnectionPool()
    async with Engine(says_done_and_goes_on).running() as engine:
        listener = await asked(HttpUpstream(pool), spec_of(engine))
        assert listener.ended
        async with asyncio.timeout(5):
            await gone.wait()
    assert pool.idle == 0


# --- in one piece


def broken_whole(name: str) -> Script:
    async def script(v: Visit) -> None:
        match name:
            case "rst":
                v.reset()
            case "cut short":
                await v.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + BODY)
                v.close()
            case "cut within chunks":
                await v.send(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"cho\r\n')
                v.close()
            case "endless":
                await v.send(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(RESPONSE_MAX_BYTES // (1 << 20) + 1):
                    await v.send(b" " * (1 << 20))
                await v.left()
            case "status":
                await v.plain(500, b'{"error":"out of memory"}')
            case _:
                raise AssertionError(name)

    return script


@pytest.mark.parametrize("name", ["rst", "cut short", "cut within chunks", "endless", "status"])
async def test_half_an_answer_is_a_failure_and_no_answer(name: str) -> None:
    pool = ConnectionPool()
    async with Engine(broken_whole(name)).running() as engine:
        listener = await asked(HttpUpstream(pool), spec_of(engine), whole_request())
    assert listener.body is None and not listener.ended
    assert listener.failure is not None
    assert (listener.failure.code, listener.failure.retryable) == ("backend_failed", True)


async def test_what_comes_with_an_error_event_is_relayed_and_nothing_of_what_follows_it() -> None:
    async def script(v: Visit) -> None:
        await v.send(STREAM_HEAD)
        await v.chunks(text_events("one"))
        await asyncio.sleep(0.05)
        await v.chunks(text_events("two") + b'data: {"error":{"message":"oom"}}\n\n' + text_events("three"))

    async with Engine(script).running() as engine:
        heard = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
    assert heard.failure is not None and "oom" in heard.failure.message
    assert heard.raw == text_events("one", "two")


@pytest.mark.parametrize("junk", [b'data: {"choices": [{"te\n\n', b'data: {"choices": [[]]}\n\n', b"data: hm\n\n"])
async def test_junk_in_mid_stream_is_a_break_and_not_relayed(junk: bytes) -> None:
    async def script(v: Visit) -> None:
        await v.send(STREAM_HEAD)
        await v.chunks(text_events("one"))
        await asyncio.sleep(0.05)
        await v.chunks(junk)

    async with Engine(script).running() as engine:
        heard = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
    assert heard.failure is not None and heard.failure.retryable
    assert heard.raw == text_events("one")


@pytest.mark.parametrize(
    "end", [b'{"choices":[{"delta":{"content":"b"},"finish_reason":null}]}', b'{"choices":[{"finish_reason":"abort"}]}']
)
async def test_an_end_without_a_reason_is_a_break_where_the_engine_always_tells_one(end: bytes) -> None:
    async def ends(v: Visit) -> None:
        first = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
        await v.send(STREAM_HEAD)
        await v.chunks(first, b"data: " + end + b"\n\n", b"data: [DONE]\n\n")
        await v.send(b"0\r\n\r\n")

    async with Engine(ends).running() as engine:
        known = replace(spec_of(engine), abilities=frozenset({"continue_final_message"}))
        told = await asked(HttpUpstream(ConnectionPool()), known)
        assert told.failure is not None and told.failure.code == "backend_failed"
        told = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
        assert told.failure is None, "of others it is not known"
