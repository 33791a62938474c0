"""What an HTTP client hears of its exchange: real doors, pool and exchange, backends that do what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from balancer import errors
from balancer.doors import openai_answer
from balancer.doors.answer import RETRY_AFTER_MAX_S
from balancer.doors.clients import ClientLimits
from balancer.doors.http import HttpConnection
from balancer.doors.openai_answer import OpenAIAnswer, cache_header, fields_of, usage_wanted
from balancer.exchange.journal import TEXT_MAX_BYTES
from balancer.exchange.outcome import Opening
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.dialect import Usage
from balancer.wire.limits import UNSENT_MAX_BYTES
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event
from tests.balancer.doors.caller import Reply, called, chat, completion, reply, request
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.fakes import FakeCall, FakeClock, last_events, text_events

FACTS = ("x-balancer-backend", "x-balancer-cache", "x-balancer-attempts")
WITH_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
GONE = errors.backend_failed("a", "connection reset")


@contextlib.asynccontextmanager
async def asking(sent: bytes, *backends: str, **changes: Any) -> AsyncIterator[tuple[Lobby, Visitor, FakeCall]]:
    """A client whose request has come to a backend."""
    async with Lobby(**changes).open() as lobby:
        for name in backends or ("a",):
            lobby.hall.join(name)
        visitor = await lobby.visit(sent)
        await lobby.calls(1)
        yield lobby, visitor, lobby.hall.calls[0]


async def nothing_came(visitor: Visitor) -> bool:
    """What the daemon wrote before this call would have arrived."""
    await asyncio.sleep(0.02)
    return not visitor.reader._buffer  # type: ignore[attr-defined]


def facts(found: Reply) -> tuple[str | None, ...]:
    return tuple(found.headers.get(name) for name in FACTS)


def text_of(found: Reply) -> str:
    chunks = [parse_chunk(data) for data in found.events if data != b"[DONE]"]
    return "".join(chunk_text(choice) for chunk in chunks for choice in chunk.choices)


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


# --- a stream that waits long


class Line:
    """A connection that remembers what was written, and when."""

    chunked = True

    def __init__(self) -> None:
        self.clock = FakeClock(0.0)
        self.written: list[tuple[float, bytes]] = []

    def write(self, data: bytes) -> None:
        self.written.append((self.clock.now, data))

    def stream_head(self, headers: tuple[tuple[str, str], ...]) -> bytes:
        return b"HEAD "


def an_answer(*, stream: bool = True) -> tuple[OpenAIAnswer, Line]:
    line = Line()
    asked = Request("r1", "local", "completions", {"prompt": "hi"}, 2, stream=stream)
    return OpenAIAnswer(cast(HttpConnection, line), asked, line.clock, lambda: 0, usage_wanted=False), line


def test_after_five_seconds_the_head_goes_out_and_from_then_on_life_is_shown() -> None:
    answer, line = an_answer()
    while line.clock.now < 15.5:
        line.clock.now += 0.5
        answer.keep_alive()
    ping = b"8\r\n: ping\n\n\r\n"
    assert line.written == [(5.0, b"HEAD " + ping), (10.0, ping), (15.0, ping)]


def test_who_asked_for_one_body_waits_without_pings() -> None:
    answer, line = an_answer(stream=False)
    line.clock.now += 60.0
    answer.keep_alive()
    assert line.written == []


async def test_a_late_answer_follows_its_pings_and_the_comment_says_what_the_headers_could_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pinged(monkeypatch) as (_, found, call):
        assert found.status == 200 and facts(found) == (None, None, None)
        call.answer("late")
        await found.whole()
    assert text_of(found) == "late"
    assert found.body.endswith(b"data: [DONE]\n\n: balancer backend=a attempts=1 cache=off\n\n")


@contextlib.asynccontextmanager
async def pinged(
    monkeypatch: pytest.MonkeyPatch, *backends: str, **fields: Any
) -> AsyncIterator[tuple[Lobby, Reply, FakeCall]]:
    """A stream whose head went out before anybody had begun to answer."""
    monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
    async with asking(completion(stream=True, **fields), *backends) as (lobby, visitor, call):
        lobby.clients.keep_alive()
        found = await reply(visitor)
        await found.until(b": ping\n\n")
        monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 5.0)
        yield lobby, found, call


async def test_from_then_on_an_error_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pinged(monkeypatch) as (_, found, call):
        call.fail(errors.rejected("too long", "context_length_exceeded", 400))
        await found.whole()
    assert found.status == 200
    (error,) = found.events
    assert json.loads(error)["error"]["code"] == "context_length_exceeded"
    assert b"[DONE]" not in found.body


async def test_another_backend_is_still_asked_and_the_comment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pinged(monkeypatch, "a", "b") as (lobby, found, call):
        call.fail(GONE)
        second = lobby.hall.calls[1]
        second.answer("x")
        await found.whole()
    assert text_of(found) == "x"
    assert found.body.endswith(f": balancer backend={second.backend} attempts=2 cache=off\n\n".encode())


async def test_a_break_after_an_early_head_tells_both(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pinged(monkeypatch) as (_, found, call):
        call.say("half")
        call.fail(GONE)
        await found.whole()
    assert json.loads(found.events[-1])["error"]["code"] == "backend_failed"
    assert found.body.endswith(b": balancer backend=a attempts=1 cache=off\n\n")


async def test_a_stream_that_has_begun_is_not_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        call.say("a")
        lobby.clients.keep_alive()
        call.answer("b")
        found = await (await reply(visitor)).whole()
    assert b"ping" not in found.body and b": balancer" not in found.body


# --- when it breaks


async def test_a_break_mid_stream_is_an_error_event_and_never_a_clean_end() -> None:
    """Fault 18."""
    async with asking(completion(stream=True)) as (lobby, visitor, call):
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


# --- one body

WHOLE = json.dumps(
    {
        "id": "x",
        "object": "text_completion",
        "model": "m",
        "choices": [{"index": 0, "text": "gr\u00fc\u00df"}],
        "odd": 1,
    },
    indent=1,
).encode()


async def test_a_whole_answer_is_passed_on_byte_for_byte() -> None:
    async with asking(completion()) as (_, visitor, call):
        assert not call.request.stream
        call.answer_whole(WHOLE)
        found = await (await reply(visitor)).whole()
        visitor.send(request("GET", "/livez"))
        assert (await reply(visitor)).status == 200
    assert found.body == WHOLE
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert facts(found) == ("a", "off", "1")


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}],
        [{"index": 0, "message": {"content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}}],
        [{"index": 0, "message": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": "stop"}],
    ],
)
async def test_more_than_text_is_passed_on_and_never_cached_as_text(choices: list[dict[str, Any]]) -> None:
    whole = json.dumps({"model": "m", "choices": choices}).encode()
    async with asking(chat(), cache=True) as (lobby, visitor, call):
        call.answer_whole(whole)
        found = await (await reply(visitor)).whole()
        assert len(lobby.hall.store) == 0
    assert found.body == whole and facts(found) == ("a", "miss", "1")


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
async def test_what_one_asked_the_next_gets_from_the_cache_streaming_or_not(
    endpoint: str, first: bool, second: bool
) -> None:
    ask = chat if endpoint == "chat" else completion
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    text = {"message": {"role": "assistant", "content": "Once"}} if endpoint == "chat" else {"text": "Once"}
    whole = {"model": "m", "choices": [{"index": 0, "finish_reason": "stop", **text}], "usage": usage}
    async with asking(ask(stream=first), cache=True) as (lobby, visitor, call):
        if first:
            call.answer("Once")
        else:
            call.answer_whole(json.dumps(whole).encode())
        await (await reply(visitor)).whole()
        found = await called(lobby, ask(stream=second, **(WITH_USAGE if second else {})))
        assert len(lobby.hall.calls) == 1
    backend, cache, attempts = facts(found)
    assert (backend, attempts) == ("a", "0") and cache.startswith("exact; age=0; entry=")
    if second:
        assert text_of(found) == "Once"
        assert found.events[-1] == b"[DONE]"
        chunks = [json.loads(data) for data in found.events[:-1]]
        assert chunks[-1]["usage"] == usage
        assert len({(chunk["id"], chunk["model"], chunk["created"], chunk["object"]) for chunk in chunks}) == 1
        if endpoint == "chat":
            assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks[:-1]] == ["assistant", None]
        return
    assert found.json["usage"] == usage
    (choice,) = found.json["choices"]
    assert choice["finish_reason"] == "stop" and choice["index"] == 0
    assert choice.get("text") or choice["message"]["content"] == "Once"
    assert found.json["object"] == ("chat.completion" if endpoint == "chat" else "text_completion")
    assert found.json["created"] == 1_800_000_000


async def test_an_answer_that_came_as_events_is_gathered_into_one_body() -> None:
    """As a classic backend's does."""
    async with asking(completion("X-Request-Id: abc")) as (_, visitor, call):
        call.say("Once ", "upon")
        call.finish()
        found = await (await reply(visitor)).whole()
    assert found.json == {
        "id": "cmpl-abc",
        "object": "text_completion",
        "created": 1_800_000_000,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "text": "Once upon"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


async def test_an_answer_that_is_too_long_to_gather_is_no_answer() -> None:
    async with asking(completion()) as (_, visitor, call):
        call.say(*["x" * 10_000] * (TEXT_MAX_BYTES // 10_000 + 2))
        call.finish()
        found = await (await reply(visitor)).whole()
    assert (found.status, found.code) == (502, "backend_failed")


async def test_a_whole_answer_has_as_long_as_the_request_may_take() -> None:
    async with asking(completion()) as (lobby, visitor, call):
        lobby.hall.dispatcher.advance(lobby.hall.clock.time() + 300.0)
        call.answer_whole(WHOLE)
        assert (await reply(visitor)).status == 200


# --- clients that leave or read slowly


@pytest.mark.parametrize("stage", ["queued", "asking", "streaming", "whole", "pinged"])
@pytest.mark.parametrize("way", ["reset", "close", "half"])
async def test_who_leaves_frees_the_slot_and_disturbs_nobody(
    stage: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 29; half a close is a whole one on HTTP."""
    async with asking(completion(stream=True)) as (lobby, sibling, kept):
        kept.say("a")
        if stage == "queued":
            for _ in range(3):
                await lobby.visit(completion())
            await lobby.calls(4)
        held = lobby.hall.in_flight()
        leaver = await lobby.visit(completion(stream=stage != "whole"))
        if stage == "queued":
            await lobby.until(lambda: len(lobby.hall.queue) == 1)
        else:
            await lobby.calls(2)
        if stage == "streaming":
            lobby.hall.calls[1].say("x")
            await reply(leaver)
        if stage == "pinged":
            monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
            lobby.clients.keep_alive()
            await reply(leaver)
        {"reset": leaver.leave, "close": leaver.writer.close, "half": leaver.writer.write_eof}[way]()
        async with asyncio.timeout(5.0):
            await lobby.until(lambda: lobby.hall.in_flight() == held and not len(lobby.hall.queue))
        if stage != "queued":
            assert lobby.hall.calls[1].cancelled
        kept.answer("b")
        assert text_of(await (await reply(sibling)).whole()) == "ab"
        assert lobby.hall.dispatcher.counts["cancelled"] == 1


async def flooded(call: FakeCall) -> None:
    """The backend talks until it is told to wait."""
    while not call.paused:
        call.say("x" * 10_000)
        await asyncio.sleep(0)


async def test_a_half_close_frees_the_slot_even_with_much_unread() -> None:
    """Faults 29 and 30: closing would wait for what the client does not read."""
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await flooded(call)
        visitor.writer.write_eof()
        async with asyncio.timeout(5.0):
            await lobby.until(lambda: call.cancelled)
        assert lobby.hall.in_flight() == 0


async def test_a_slow_reader_pauses_its_backend_in_bounded_memory_and_gets_all_of_it() -> None:
    """Fault 30."""
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        transport = visitor.reader._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        await flooded(call)
        connection = next(iter(lobby.clients._open))
        assert connection._transport.get_write_buffer_size() < UNSENT_MAX_BYTES + 20_000  # type: ignore[attr-defined]
        transport.resume_reading()
        await lobby.until(lambda: not call.paused)
        call.finish()
        found = await (await reply(visitor)).whole()
    assert set(text_of(found)) == {"x"} and len(text_of(found)) % 10_000 == 0


async def test_who_reads_nothing_is_cut() -> None:
    """Fault 30."""
    async with asking(completion(stream=True), limits=ClientLimits(write_s=0.1)) as (lobby, visitor, call):
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await flooded(call)
        await lobby.until(lambda: call.cancelled)
        assert lobby.hall.in_flight() == 0
        await lobby.until(lambda: lobby.clients.connections == 0)


async def test_who_does_not_read_the_last_of_it_is_cut_as_well() -> None:
    """Closing waits until all is written, and that has a limit of its own."""
    sent = completion("Connection: close")
    async with asking(sent, limits=ClientLimits(write_s=0.1)) as (lobby, visitor, call):
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        text = "x" * (8 << 20)
        call.answer_whole(json.dumps({"choices": [{"text": text}]}).encode())
        await lobby.until(lambda: lobby.clients.connections == 0)


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
