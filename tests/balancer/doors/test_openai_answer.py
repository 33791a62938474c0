"""What an HTTP client hears of its exchange: real doors, pool and exchange, backends that do what the test says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balancer import errors
from balancer.doors.answer import RETRY_AFTER_MAX_S
from balancer.doors.openai_answer import cache_header, fields_of, usage_wanted
from balancer.exchange.outcome import Opening
from balancer.wire import openai
from balancer.wire.dialect import Usage
from balancer.wire.openai import parse_chunk
from balancer.wire.sse import event
from tests.balancer.doors.caller import completion, reply, request
from tests.balancer.doors.hearing import GONE, WITH_USAGE, asking, facts, text_of
from tests.balancer.doors.lobby import Visitor
from tests.fakes import last_events, text_events


async def nothing_came(visitor: Visitor) -> bool:
    """What the daemon wrote before this call would have arrived."""
    await asyncio.sleep(0.02)
    return not visitor.reader._buffer  # type: ignore[attr-defined]


# --- streams


async def test_the_head_is_held_back_until_the_answer_begins_and_then_tells_who_gives_it() -> None:
    async with asking(completion(stream=True)) as (_, visitor, call):
        assert await nothing_came(visitor)
        call.say("Once ")
        found = await reply(visitor)
        assert (found.status, found.chunked) == (200, True)
        assert found.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert found.headers["cache-control"] == "no-cache"
        assert facts(found) == ("a", "off", "1")
        assert await found.more() == text_events("Once ")
        call.answer("upon")
        await found.whole()
    assert text_of(found) == "Once upon"
    assert found.body.endswith(b"data: [DONE]\n\n")


async def test_events_are_relayed_to_the_byte() -> None:
    odd = (
        b': hello\n\nid: 7\nevent: x\ndata:{"id":"i","choices":[{"index":0,"text":"x"}],"new":[1.0]}\r\n\r\n'
        b'data: {"choices":\ndata: []}\n\n'
    )
    async with asking(completion(stream=True)) as (_, visitor, call):
        call.send(odd)
        call.send(event(b"[DONE]"))
        call.receiver.on_end()
        found = await (await reply(visitor)).whole()
    assert found.body == odd + event(b"[DONE]")


@pytest.mark.parametrize("wanted", [True, False, None])
async def test_usage_is_told_only_to_who_asked_for_it(wanted: bool | None) -> None:
    options: dict[str, Any] = {} if wanted is None else {"stream_options": {"include_usage": wanted}}
    async with asking(completion(stream=True, **options)) as (_, visitor, call):
        call.answer("a")
        found = await (await reply(visitor)).whole()
    usages = [chunk.usage for chunk in map(parse_chunk, found.events[:-1])]
    assert [usage is not None for usage in usages] == ([False, False, True] if wanted else [False, False])
    assert found.events[-1] == b"[DONE]"


async def test_the_connection_is_good_for_another_request_after_a_stream() -> None:
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        call.answer("a")
        assert text_of(await (await reply(visitor)).whole()) == "a"
        visitor.send(completion(stream=True))
        await lobby.calls(2)
        lobby.hall.calls[1].answer("b")
        assert text_of(await (await reply(visitor)).whole()) == "b"


async def test_a_client_that_wants_its_connection_closed_is_obeyed_after_the_stream() -> None:
    async with asking(completion("Connection: close", stream=True)) as (_, visitor, call):
        call.answer("a")
        found = await (await reply(visitor)).whole()
        assert found.headers["connection"] == "close"
        assert await visitor.rest() == b""


async def test_a_client_of_http_1_0_gets_no_chunks_but_the_end_of_the_connection() -> None:
    async with asking(completion("Connection: keep-alive", version="1.0", stream=True)) as (_, visitor, call):
        call.say("Once ")
        call.answer("upon")
        found = await (await reply(visitor)).whole()
    assert "transfer-encoding" not in found.headers and "content-length" not in found.headers
    assert found.headers["connection"] == "close"
    assert found.body == text_events("Once ") + text_events("upon") + last_events().replace(
        openai.chunk_event("completions", "cmpl-1", "m", 0, [], Usage(3, 2, 5)), b""
    )


# --- when it breaks


async def test_a_break_mid_stream_is_an_error_event_and_never_a_clean_end() -> None:
    """Fault 18, where nobody may go on."""
    async with asking(completion("X-Balancer-Resume: no", stream=True)) as (lobby, visitor, call):
        call.say("half")
        call.fail(GONE)
        found = await (await reply(visitor)).whole()
        visitor.send(request("GET", "/livez"))
        assert (await reply(visitor)).status == 200  # the framing is whole, so the connection is good
        assert lobby.hall.in_flight() == 0
    assert found.status == 200
    error = json.loads(found.events[-1])["error"]
    assert (error["type"], error["code"]) == ("server_error", "backend_failed")
    assert b"[DONE]" not in found.body


async def test_a_stream_that_begins_with_junk_is_asked_for_elsewhere() -> None:
    """Fault 24."""
    async with asking(completion(stream=True), "a", "b") as (lobby, visitor, call):
        call.send(event(b"<html>"))
        assert call.cancelled
        lobby.hall.calls[1].answer("good")
        found = await (await reply(visitor)).whole()
    assert text_of(found) == "good"
    assert found.headers["x-balancer-attempts"] == "2"


@pytest.mark.parametrize("stream", [True, False])
async def test_junk_from_all_is_a_502(stream: bool) -> None:
    """Fault 24."""
    async with asking(completion(stream=stream)) as (_, visitor, call):
        if stream:
            call.send(event(b'{"choices":"what?"}'))
        else:
            call.answer_whole(b"<html>It works!</html>")
        found = await (await reply(visitor)).whole()
    assert (found.status, found.code) == (502, "backend_failed")


async def test_the_time_to_come_back_is_bounded_and_never_rounded_down() -> None:
    for seconds, said in ((0.2, "1"), (1.2, "2"), (7.0, "7"), (1e6, str(RETRY_AFTER_MAX_S))):
        async with asking(completion()) as (_, visitor, call):
            call.fail(errors.no_backend("gone", seconds))
            assert (await reply(visitor)).headers["retry-after"] == said


async def test_a_daemon_that_gives_up_ends_its_streams_in_an_error_and_their_connections() -> None:
    """Fault 37."""
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        call.say("half")
        found = await reply(visitor)
        lobby.hall.dispatcher.stop()
        lobby.clients.drain()
        call.say(" more")
        await found.until(b" more")
        lobby.hall.dispatcher.abort()
        await found.whole()
        assert json.loads(found.events[-1])["error"]["code"] == "shutting_down"
        assert await visitor.rest() == b""


# --- words


def test_the_cache_header_tells_how_near_and_how_old() -> None:
    assert cache_header(Opening("a", "miss", 1)) == "miss"
    assert cache_header(Opening("a", "shadow", 1)) == "miss; shadow=semantic"
    assert cache_header(Opening("a", "exact", 0, None, 12.4)) == "exact; age=12"
    assert cache_header(Opening("a", "semantic", 0, 0.97123, 3.0)) == "semantic; similarity=0.971; age=3"
    judged = Opening("a", "semantic", 0, 0.97123, 3.0, probability=0.99341)
    assert cache_header(judged) == "semantic; similarity=0.971; probability=0.993; age=3"
    assert cache_header(Opening("a", "exact", 0, None, 1.0, entry="5f0c")) == "exact; age=1; entry=5f0c"


def test_the_head_says_who_answered_if_anybody_did() -> None:
    assert fields_of(None) == b""
    assert fields_of(Opening("a", "miss", 2)) == (
        b"x-balancer-backend: a\r\nx-balancer-cache: miss\r\nx-balancer-attempts: 2\r\n"
    )


@pytest.mark.parametrize("options", [None, True, [], {}, {"include_usage": 1}, {"include_usage": "yes"}])
def test_usage_is_wanted_only_where_it_says_true(options: object) -> None:
    assert not usage_wanted({"stream_options": options})
    assert usage_wanted(WITH_USAGE)
