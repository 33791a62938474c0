"""What an HTTP client hears of a stream that waits long."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from balancer import errors
from balancer.doors import openai_answer
from balancer.doors.http import HttpConnection
from balancer.doors.openai_answer import OpenAIAnswer
from balancer.request import Request
from tests.balancer.doors.caller import Reply, completion, reply
from tests.balancer.doors.hearing import GONE, asking, facts, text_of
from tests.balancer.doors.lobby import Lobby
from tests.fakes import FakeCall, FakeClock


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
    monkeypatch: pytest.MonkeyPatch, *backends: str, headers: tuple[str, ...] = (), **fields: Any
) -> AsyncIterator[tuple[Lobby, Reply, FakeCall]]:
    """A stream whose head went out before anybody had begun to answer."""
    monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
    async with asking(completion(*headers, stream=True, **fields), *backends) as (lobby, visitor, call):
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
    async with pinged(monkeypatch, headers=("X-Balancer-Resume: no",)) as (_, found, call):
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
