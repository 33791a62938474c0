"""An engine is asked for a stream: what it sees, what is relayed, when it stops."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest

from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import CUT_SETTLES_S, HttpUpstream
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.answers import WHOLE, answers
from tests.balancer.upstream.engine import (
    OPEN_ENDED_HEAD,
    STREAM_HEAD,
    Engine,
    Listener,
    Visit,
    a_closed_port,
    a_request,
    asked,
    spec_of,
)
from tests.fakes import last_events, text_events


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
