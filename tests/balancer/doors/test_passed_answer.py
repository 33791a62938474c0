"""Embeddings and responses at the HTTP door: what a backend is asked, and what the client hears."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from balancer import errors
from balancer.doors import openai_answer
from balancer.pool.backend import ModelInfo
from tests.balancer.doors.caller import Reply, called, reply, request
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.fakes import FakeCall

EMBEDDINGS, RESPONSES = "/v1/embeddings", "/v1/responses"
CREATED = b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
COMPLETED = b'event: response.completed\ndata: {"type":"response.completed","sequence_number":7}\n\n'
GONE = errors.backend_failed("a", "connection reset")


def a_lobby(endpoint: str, **changes: Any) -> Lobby:
    lobby = Lobby(**changes)
    lobby.hall.join("a", models=(ModelInfo("m"),), endpoints=frozenset({endpoint}))
    return lobby


@contextlib.asynccontextmanager
async def asking(endpoint: str, path: str, body: object, **changes: Any) -> AsyncIterator[tuple[Visitor, FakeCall]]:
    """A client whose request has come to a backend."""
    async with a_lobby(endpoint, **changes).open() as lobby:
        visitor = await lobby.visit(request("POST", path, body))
        await lobby.calls(1)
        yield visitor, lobby.hall.calls[0]
        await lobby.until(lambda: not lobby.hall.in_flight())


async def answered(visitor: Visitor) -> Reply:
    return await (await reply(visitor)).whole()


# --- embeddings


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1], [2]], []])
@pytest.mark.parametrize("cache", [False, True])
async def test_embeddings_go_to_a_backend_and_come_back_untouched(given: object, cache: bool) -> None:
    body = json.dumps({"input": given, "model": "m", "encoding_format": "base64", "odd": 1}).encode()
    whole = b'{ "data":[{"embedding":"AAAA"}],\r\n "usage":{"prompt_tokens":null} } '
    async with asking("embeddings", EMBEDDINGS, body, cache=cache) as (visitor, call):
        assert (call.request.endpoint, call.request.stream, call.request.raw) == ("embeddings", False, body)
        call.answer_whole(whole)
        found = await answered(visitor)
    assert (found.status, found.body, found.headers["content-type"]) == (200, whole, "application/json")
    assert found.headers["x-balancer-backend"] == "a"
    assert found.headers["x-balancer-cache"] == ("bypass" if cache else "off")


async def test_equal_requests_for_embeddings_ask_each_time() -> None:
    async with a_lobby("embeddings", cache=True).open() as lobby:
        for count in (1, 2):
            visitor = await lobby.visit(request("POST", EMBEDDINGS, {"input": "x", "model": "m"}))
            await lobby.calls(count)
            lobby.hall.calls[-1].answer_whole(b'{"data":[]}')
            assert (await answered(visitor)).status == 200
        assert lobby.hall.embedder.asked == []


@pytest.mark.parametrize("body", [{}, {"model": "m"}, {"input": "x", "model": 5}, {"prompt": "x"}])
async def test_what_is_no_request_for_embeddings_asks_nobody(body: object) -> None:
    async with a_lobby("embeddings").open() as lobby:
        assert (await called(lobby, request("POST", EMBEDDINGS, body))).status == 400
        assert lobby.hall.calls == []


@pytest.mark.parametrize(("path", "body"), [(EMBEDDINGS, {"input": "x"}), (RESPONSES, {"input": "x"})])
async def test_what_no_backend_offers_is_a_400_that_names_it(path: str, body: dict[str, Any]) -> None:
    async with a_lobby("chat").open() as lobby:
        found = await called(lobby, request("POST", path, {**body, "model": "m"}))
    assert (found.status, found.code) == (400, "wrong_endpoint")
    assert path.rpartition("/")[2] in found.json["error"]["message"]


async def test_an_answer_that_is_none_is_the_backends_failure() -> None:
    async with asking("embeddings", EMBEDDINGS, {"input": "x", "model": "m"}) as (visitor, call):
        call.receiver.on_whole(b"")
        found = await answered(visitor)
    assert (found.status, found.code) == (502, "backend_failed")


# --- responses


async def test_a_response_is_relayed_as_it_came() -> None:
    whole = b'{"id":"resp_1","object":"response","output":[]}'
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}], "previous_response_id": "resp_0"}
    async with asking("responses", RESPONSES, body, cache=True) as (visitor, call):
        assert call.request.body == body and not call.request.resumable
        call.answer_whole(whole)
        found = await answered(visitor)
    assert (found.status, found.body, found.headers["x-balancer-cache"]) == (200, whole, "bypass")


async def test_a_response_may_have_its_prompt_elsewhere() -> None:
    async with asking("responses", RESPONSES, {"model": "m", "prompt": {"id": "pmpt_1"}}) as (visitor, call):
        call.answer_whole(b"{}")
        assert (await answered(visitor)).status == 200


async def test_a_streamed_response_is_relayed_event_by_event_without_an_end_mark_of_ours() -> None:
    body = {"model": "m", "input": "hi", "stream": True}
    async with asking("responses", RESPONSES, body, cache=True) as (visitor, call):
        call.send(CREATED)
        found = await reply(visitor)
        assert await found.more() == CREATED
        call.send(COMPLETED)
        call.over = True
        call.receiver.on_end()
        await found.whole()
    assert found.headers["content-type"].startswith("text/event-stream")
    assert found.body == CREATED + COMPLETED


async def test_a_response_that_breaks_ends_in_an_error_event_and_is_not_begun_anew() -> None:
    lobby = a_lobby("responses")
    lobby.hall.join("b", models=(ModelInfo("m"),), endpoints=frozenset({"responses"}))
    async with lobby.open():
        visitor = await lobby.visit(request("POST", RESPONSES, {"model": "m", "input": "hi", "stream": True}))
        await lobby.calls(1)
        call = lobby.hall.calls[0]
        call.send(CREATED)
        call.fail(GONE)
        found = await answered(visitor)
        assert len(lobby.hall.calls) == 1
    assert found.body.startswith(CREATED + b"event: error\n")
    error = json.loads(found.events[-1])
    assert (error["type"], error["code"], error["sequence_number"]) == ("error", "backend_failed", 1)


async def test_a_response_that_did_not_begin_is_asked_for_elsewhere() -> None:
    lobby = a_lobby("responses")
    lobby.hall.join("b", models=(ModelInfo("m"),), endpoints=frozenset({"responses"}))
    async with lobby.open():
        visitor = await lobby.visit(request("POST", RESPONSES, {"model": "m", "input": "hi"}))
        await lobby.calls(1)
        lobby.hall.calls[0].fail(GONE)
        await lobby.calls(2)
        lobby.hall.calls[1].answer_whole(b"{}")
        assert (await answered(visitor)).headers["x-balancer-attempts"] == "2"


async def test_a_response_that_waits_long_shows_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
    async with a_lobby("responses").open() as lobby:
        visitor = await lobby.visit(request("POST", RESPONSES, {"model": "m", "input": "hi", "stream": True}))
        await lobby.calls(1)
        lobby.clients.keep_alive()
        found = await reply(visitor)
        await found.until(b": ping\n\n")
        lobby.hall.calls[0].fail(errors.rejected("no such tool", "bad_tool", 400))
        await found.whole()
    error = json.loads(found.events[-1])
    assert (error["type"], error["code"], error["sequence_number"]) == ("error", "bad_tool", 0)
