from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest

from balancer.request import Request
from balancer.upstream import connection as connections
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import CUT_SETTLES_S, ERROR_BODY_MAX_BYTES, HttpUpstream
from balancer.wire.limits import EVENT_MAX_BYTES, RESPONSE_MAX_BYTES
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.engine import (
    OPEN_ENDED_HEAD,
    STREAM_HEAD,
    Engine,
    Listener,
    Script,
    Visit,
    a_closed_port,
    a_request,
    asked,
    spec_of,
)
from tests.fakes import last_events, text_events

WHOLE = text_events("Once ", "upon") + last_events()


async def answers(v: Visit) -> None:
    await v.stream("Once ", "upon")


async def test_a_stream_is_relayed_untouched_and_its_connection_is_kept() -> None:
    pool = ConnectionPool()
    async with Engine(answers).running() as engine:
        for _ in range(3):
            listener = await asked(HttpUpstream(pool), spec_of(engine))
            assert listener.ended
            assert listener.raw == WHOLE
            async with asyncio.timeout(5):
                while not pool.idle:
                    await asyncio.sleep(0.001)
        assert engine.connections == 1
        pool.close()


async def test_the_engine_is_asked_to_stream_and_sees_nothing_of_the_clients_own() -> None:
    async with Engine(answers).running() as engine:
        spec = replace(spec_of(engine), path_prefix="/deep", host_header="gpu.example:8000")
        await asked(HttpUpstream(ConnectionPool()), spec, a_request("hi", temperature=0.5, odd={"x": [1]}))
        visit = engine.visits[0]
    head = visit.head.decode().lower()
    assert head.startswith("post /deep/v1/completions http/1.1\r\n")
    assert "\r\nhost: gpu.example:8000\r\n" in head
    assert "\r\naccept-encoding: identity\r\n" in head
    assert "authorization" not in head and "cookie" not in head
    body = json.loads(visit.body)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert (body["model"], body["prompt"], body["temperature"], body["odd"]) == ("m", "hi", 0.5, {"x": [1]})


async def test_a_prompt_goes_as_one_user_message_where_only_chat_is_offered() -> None:
    async with Engine(answers).running() as engine:
        await asked(HttpUpstream(ConnectionPool()), replace(spec_of(engine), endpoints=frozenset({"chat"})))
        visit = engine.visits[0]
    assert visit.head.startswith(b"POST /v1/chat/completions ")
    assert json.loads(visit.body)["messages"] == [{"role": "user", "content": "hello"}]


async def test_a_refused_connection_is_told_as_unreachable() -> None:
    listener = await asked(HttpUpstream(ConnectionPool()), a_spec("gpu", port=await a_closed_port()))
    assert listener.failure is not None
    assert (listener.failure.code, listener.failure.retryable) == ("backend_unreachable", True)


@pytest.mark.parametrize(
    ("status", "code", "told", "retryable", "busy"),
    [
        (429, "backend_busy", 503, True, True),
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
    assert told_why is (not busy and status != 401), "what an engine says of our own key may repeat it"


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


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_a_stream_in_pieces_of_one_byte_is_the_same_stream(line_end: bytes) -> None:
    events = (text_events("gr\u00fc\u00df \U0001f600", "b") + last_events()).replace(b"\n", line_end)

    async def slicer(v: Visit) -> None:
        framed = b"".join(
            b"%x\r\n%b\r\n" % (len(events[i : i + 3]), events[i : i + 3]) for i in range(0, len(events), 3)
        )
        await v.slices(STREAM_HEAD + framed + b"0\r\n\r\n")

    async with Engine(slicer).running() as engine:
        listener = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
    assert listener.ended
    assert listener.raw == events


async def test_an_answer_that_ends_with_its_connection_is_complete_if_it_said_done() -> None:
    async def closes(v: Visit) -> None:
        await v.send(OPEN_ENDED_HEAD + WHOLE)
        v.close()

    async with Engine(closes).running() as engine:
        listener = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
    assert listener.ended
    assert listener.raw == WHOLE


async def test_done_inside_a_text_is_text() -> None:
    async def talks_of_it(v: Visit) -> None:
        await v.stream("data: [DONE]\n\n", "data: [DONE]")

    async with Engine(talks_of_it).running() as engine:
        listener = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
    assert listener.ended
    assert listener.raw == text_events("data: [DONE]\n\n", "data: [DONE]") + last_events()


async def test_error_inside_a_text_is_text() -> None:
    async def talks_of_it(v: Visit) -> None:
        await v.stream('say "error": {}', "error")

    async with Engine(talks_of_it).running() as engine:
        assert (await asked(HttpUpstream(ConnectionPool()), spec_of(engine))).ended


async def test_many_events_in_one_segment_are_parsed_once_each() -> None:
    texts = [f"word{i} " for i in range(2000)]

    async def gushes(v: Visit) -> None:
        data = text_events(*texts) + last_events()
        await v.send(STREAM_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    async with Engine(gushes).running() as engine:
        listener = await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
    assert listener.ended
    assert listener.raw == text_events(*texts) + last_events()


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


async def test_a_cancelled_call_hangs_up_and_hears_nothing_more() -> None:
    gone = asyncio.Event()

    async def endless(v: Visit) -> None:
        await v.send(STREAM_HEAD)
        await v.chunks(text_events("x"))
        await v.left()
        gone.set()

    async with Engine(endless).running() as engine:
        listener = Listener()
        call = HttpUpstream(ConnectionPool()).ask(spec_of(engine), a_request(), "m", listener)
        async with asyncio.timeout(5):
            await listener.first.wait()
            call.cancel()
            await gone.wait()
        assert not listener.over.is_set()


async def test_a_call_cancelled_while_it_dials_asks_nobody() -> None:
    async with Engine(answers).running() as engine:
        listener = Listener()
        HttpUpstream(ConnectionPool()).ask(spec_of(engine), a_request(), "m", listener).cancel()
        await asked(HttpUpstream(ConnectionPool()), spec_of(engine))
        assert len(engine.visits) == 1
        assert not listener.over.is_set()


async def test_a_paused_call_reads_no_more_until_it_is_resumed() -> None:
    sent = 0

    async def floods(v: Visit) -> None:
        nonlocal sent
        await v.send(STREAM_HEAD)
        piece = text_events("x" * 60_000)
        for _ in range(400):
            await v.chunks(piece)
            sent += len(piece)
        await v.chunks(last_events())
        await v.send(b"0\r\n\r\n")

    async with Engine(floods).running() as engine:
        listener = Listener()
        call = HttpUpstream(ConnectionPool()).ask(spec_of(engine), a_request(), "m", listener)
        call.pause()
        before = -1
        async with asyncio.timeout(20):
            while sent != before or not sent:  # until the engine can write no more
                before = sent
                await asyncio.sleep(0.15)
            assert listener.raw == b""
            assert sent < 400 * 60_000
            call.resume()
            await listener.over.wait()
        assert listener.ended
        assert len(listener.raw) > 400 * 60_000


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

BODY = b'{ "id": "x", "model":"m",\n "choices" : [{"index":0, "text":"gr\\u00fc\xc3\x9f"}], "odd": 1.50 }\n'


def whole_request(**body: object) -> Request:
    return replace(a_request(**body), stream=False)  # type: ignore[arg-type]


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


async def test_an_engine_gets_the_key_that_is_its_own_and_no_other() -> None:
    async def answers(v: Visit) -> None:
        await v.stream("hi")

    async with Engine(answers).running() as engine:
        upstream = HttpUpstream(ConnectionPool())
        await asked(upstream, replace(spec_of(engine), authorization="Bearer sk-1"))
        await asked(upstream, spec_of(engine))
        with_key, without = (visit.head.lower() for visit in engine.visits)
    assert b"\r\nauthorization: bearer sk-1\r\n" in with_key and b"authorization" not in without


# --- when the whole process may be gone


async def hangs_up(v: Visit) -> None:
    v.writer.close()


async def test_of_a_registered_backend_a_cut_connection_is_told_a_moment_later() -> None:
    async with Engine(hangs_up).running() as engine:
        began = time.monotonic()
        listener = await asked(HttpUpstream(ConnectionPool()), replace(spec_of(engine), kind="native"))
        assert listener.failure is not None and listener.failure.message == "backend gpu failed: connection closed"
        assert time.monotonic() - began >= CUT_SETTLES_S / 2, "clocks of an event loop are coarse"


async def test_and_not_at_all_when_it_was_given_up_meanwhile() -> None:
    cut = asyncio.Event()

    async def cuts(v: Visit) -> None:
        v.writer.close()
        cut.set()

    async with Engine(cuts).running() as engine:
        listener = Listener()
        call = HttpUpstream(ConnectionPool()).ask(replace(spec_of(engine), kind="native"), a_request(), "m", listener)
        await cut.wait()
        call.cancel()
        await asyncio.sleep(2 * CUT_SETTLES_S)  # nothing is to come, so there is no event to wait for
        assert listener.failure is None and not listener.ended
