"""What comes to no exchange is told to those who keep count, as one record a request, without what was sent."""

from __future__ import annotations

from typing import Any

import pytest

from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.exchange.outcome import Record
from balancer.meters import OUTCOMES
from balancer.wire.limits import BODY_MAX_BYTES, LINE_MAX_BYTES
from tests.balancer.doors.caller import CHAT, COMPLETIONS, called, request
from tests.balancer.doors.lobby import Lobby
from tests.balancer.upstream.encoder import FakeEncoder

KEY = "Authorization: Bearer lb-alice"


def a_lobby(told: list[Record]) -> Lobby:
    lobby = Lobby(embedder=FakeEncoder())
    lobby.hall.join("a")
    lobby.hall.dispatcher.observers.append(told.append)
    lobby.clients.keys = KeyTable([ClientKey("alice", digest_of(b"lb-alice"))])
    return lobby


@pytest.mark.parametrize(
    ("path", "body", "headers", "outcome", "status", "tenant"),
    [
        (CHAT, {"messages": []}, ["Authorization: Bearer nobody"], "invalid_api_key", 401, ""),
        ("/v1/models", b"", ["Authorization: Bearer nobody"], "invalid_api_key", 401, ""),
        (CHAT, b"no body", [KEY], "not_json", 400, "alice"),
        (CHAT, b"\x1f\x8b\x08", [KEY, "Content-Encoding: gzip"], "content_encoding", 415, "alice"),
        (CHAT, {"prompt": "x"}, [KEY], "invalid_request", 400, "alice"),
        (COMPLETIONS, {"prompt": ""}, [], "empty_prompt", 400, "local"),
        (COMPLETIONS, {"prompt": "x", "stream": 1}, [], "invalid_stream", 400, "local"),
        (COMPLETIONS, {"prompt": "x"}, ["x-balancer-timeout: soon"], "invalid_timeout", 400, "local"),
        (COMPLETIONS, b"x" * (BODY_MAX_BYTES + 1), [], "body_too_large", 413, ""),
        ("/v1/embeddings", {"input": []}, [], "invalid_input", 400, "local"),
        ("/v1/embeddings", {"input": "x", "model": "none"}, [], "no_backend", 503, "local"),
    ],
)
async def test_over_http(path: str, body: Any, headers: list[str], outcome: str, status: int, tenant: str) -> None:
    told = list[Record]()
    async with a_lobby(told).open() as lobby:
        found = await called(lobby, request("POST", path, body, "x-request-id: r-1", *headers))
    assert (found.status, found.code) == (status, outcome)
    (record,) = told
    assert (record.outcome, record.status, record.request.tenant) == (outcome, status, tenant)
    assert record.request.id == found.headers["x-request-id"]
    assert (record.model, record.request.body, record.request.raw) == ("", {}, b"")
    assert outcome in OUTCOMES


@pytest.mark.parametrize("coding", ["identity", "Identity"])
async def test_a_body_that_says_it_is_sent_as_it_is_is_taken(coding: str) -> None:
    async with a_lobby([]).open() as lobby:
        await lobby.visit(request("POST", COMPLETIONS, {"prompt": "hi"}, f"Content-Encoding: {coding}"))
        await lobby.calls(1)


async def test_a_coding_is_refused_in_words_that_say_what_to_do() -> None:
    async with a_lobby([]).open() as lobby:
        found = await called(lobby, request("POST", CHAT, b"\x1f\x8b", "Content-Encoding: gzip"))
    assert found.headers["accept-encoding"] == "identity"
    assert "'gzip' is not decoded" in found.json["error"]["message"]


@pytest.mark.parametrize(
    ("line", "outcome", "tenant"),
    [
        (b'{"prompt":"hi","key":"nobody"}\n', "invalid_api_key", ""),
        (b'{"prompt":""}\n', "empty_prompt", ""),
        (b'{"prompt":"hi","n":1000}\n', "invalid_n", "local"),
        (b"hello\n", "not_json", ""),
        (b"x" * (LINE_MAX_BYTES + 1), "line_too_long", ""),
    ],
)
async def test_on_the_native_door(line: bytes, outcome: str, tenant: str) -> None:
    told = list[Record]()
    async with a_lobby(told).open() as lobby:
        assert (await (await lobby.visit(line)).line())["error"]["code"] == outcome
    assert [(record.outcome, record.request.tenant, record.request.body) for record in told] == [(outcome, tenant, {})]
    assert outcome in OUTCOMES


async def test_who_is_answered_at_once_asked_no_model_and_is_not_told_of() -> None:
    told = list[Record]()
    async with a_lobby(told).open() as lobby:
        for path in ("/livez", "/v1/models", "/nothing", CHAT):
            await called(lobby, request("GET", path))
    assert told == []
