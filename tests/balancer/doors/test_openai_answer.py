from __future__ import annotations

import json

import pytest

from balancer import errors
from balancer.doors import openai_answer
from balancer.doors.openai_answer import cache_header, usage_wanted
from balancer.exchange.journal import TEXT_MAX_BYTES
from balancer.exchange.ports import Opening
from tests.balancer.doors.lobby import Lobby, Visitor


def a_lobby(**changes: object) -> Lobby:
    lobby = Lobby(**changes)  # type: ignore[arg-type]
    lobby.hall.join("a", slots=1)
    return lobby


def completion(**body: object) -> bytes:
    content = json.dumps({"prompt": "hi", **body}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def answered(visitor: Visitor) -> tuple[int, dict[str, str], bytes]:
    head, _, body = (await visitor.rest()).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


async def test_events_are_gathered_where_one_body_was_asked_for() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(completion())
        await lobby.calls(1)
        lobby.hall.calls[0].say("Once ")
        lobby.hall.calls[0].answer("upon")
        status, headers, body = await answered(visitor)
    found = json.loads(body)
    assert status == 200
    assert found["choices"][0]["text"] == "Once upon"
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] == 2
    assert (headers["x-balancer-backend"], headers["x-balancer-cache"]) == ("a", "off")


async def test_an_answer_that_cannot_be_gathered_is_an_error_and_no_success() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(completion())
        await lobby.calls(1)
        for _ in range(TEXT_MAX_BYTES // 50_000 + 2):
            lobby.hall.calls[0].say("x" * 50_000)
        lobby.hall.calls[0].finish()
        status, _, body = await answered(visitor)
    assert (status, json.loads(body)["error"]["code"]) == (502, "backend_failed")


async def test_a_cached_answer_says_so_in_its_head_streaming_or_not() -> None:
    async with a_lobby(cache=True).open() as lobby:
        first = await lobby.visit(completion())
        await lobby.calls(1)
        lobby.hall.calls[0].answer("x")
        await answered(first)
        for stream in (False, True):
            status, headers, body = await answered(await lobby.visit(completion(stream=stream)))
            assert status == 200
            assert headers["x-balancer-cache"].startswith("exact; age=")
            assert b'"x"' in body
        assert len(lobby.hall.calls) == 1


async def test_a_failure_says_when_to_try_again() -> None:
    async with a_lobby(queue_size=0).open() as lobby:
        await lobby.visit(completion())
        await lobby.calls(1)
        status, headers, body = await answered(await lobby.visit(completion()))
    assert (status, json.loads(body)["error"]["code"]) == (503, "queue_full")
    assert 1 <= int(headers["retry-after"]) <= 120


async def test_a_stream_that_waits_long_shows_life_and_its_error_is_then_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(completion(stream=True))
        await lobby.calls(1)
        lobby.clients.keep_alive()
        head = await visitor.some()
        assert head.startswith(b"HTTP/1.1 200")
        lobby.clients.keep_alive()
        lobby.hall.calls[0].fail(errors.rejected("no", "nope", 400))
        rest = head + await visitor.rest()
    assert rest.count(b": ping") >= 1
    assert b'"nope"' in rest
    assert b"[DONE]" not in rest


async def test_usage_is_told_in_a_stream_only_to_those_who_ask() -> None:
    async with a_lobby().open() as lobby:
        for options, told in ((None, False), ({"include_usage": True}, True)):
            extra = {} if options is None else {"stream_options": options}
            visitor = await lobby.visit(completion(stream=True, **extra))
            await lobby.until(lambda: lobby.hall.upstream.running)
            lobby.hall.upstream.running[0].answer("x")
            assert (b'"usage"' in await visitor.rest()) is told


def test_what_the_cache_did_is_one_header() -> None:
    assert cache_header(Opening("b", "miss", 1)) == "miss"
    assert cache_header(Opening("b", "exact", 0, None, 12.4)) == "exact; age=12"
    assert cache_header(Opening("b", "semantic", 0, 0.97149, 3.0)) == "semantic; similarity=0.971; age=3"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
        ({"stream_options": "yes"}, False),
    ],
)
def test_usage_is_wanted_only_if_it_was_asked_for(body: dict[str, object], wanted: bool) -> None:
    assert usage_wanted(body) is wanted
