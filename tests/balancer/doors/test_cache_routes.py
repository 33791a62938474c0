from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balancer.admission.keys import KeyTable
from balancer.doors.answer import Answer
from balancer.doors.cache_routes import called_wrong, entry_key
from balancer.doors.http import HttpConnection
from balancer.wire.http1 import HttpRequest
from tests.balancer.doors.caller import reply
from tests.balancer.doors.lobby import Lobby
from tests.fakes import RecordingSink

MISSING = "00" * 16


async def a_lobby(**changes: Any) -> Lobby:
    lobby = Lobby(**{"cache": True, **changes})
    lobby.hall.join("gpu-1", slots=2)
    return lobby


def post(lobby: Lobby, path: str, query: str = "", body: bytes = b"", method: str = "POST") -> Any:
    connection = HttpConnection(lobby.clients, lobby.admin.answer)
    found = lobby.admin.answer(HttpRequest(method, path, query, {}, body, True), connection)
    assert isinstance(found, Answer)
    return json.loads(found.body) if found.status == 200 else found.status


def answered(lobby: Lobby, prompt: str, **changes: Any) -> RecordingSink:
    """Ask, and let the backend answer if it was asked."""
    calls = len(lobby.hall.calls)
    _, sink = lobby.hall.ask(prompt, **changes)
    if len(lobby.hall.calls) > calls:
        lobby.hall.calls[-1].answer("x")
    return sink


def cached(lobby: Lobby, prompt: str, **changes: Any) -> str | None:
    """The entry that answers, if one does."""
    _, sink = lobby.hall.ask(prompt, cache="only", **changes)
    return sink.outcome.entry if sink.outcome is not None else None


async def test_purge_by_tenant_model_prefix_and_entry() -> None:
    lobby = await a_lobby()
    for prompt, tenant in (("How tall?", "a"), ("How far?", "a"), ("Who?", "b")):
        answered(lobby, prompt, tenant=tenant)
    entry = cached(lobby, "How far?", tenant="a")
    assert post(lobby, "/cache/purge", "prefix=How+t") == {"purged": 1}
    assert post(lobby, "/cache/purge", f"entry={entry}&tenant=b") == {"purged": 0}
    assert post(lobby, "/cache/purge", f"entry={entry}") == {"purged": 1}
    assert post(lobby, "/cache/purge", "model=other") == {"purged": 0}
    assert post(lobby, "/cache/purge", "tenant=b&model=m") == {"purged": 1}


@pytest.mark.parametrize("query", ["entry=", "entry=zz", "entry=ab", "tenent=a", "prefix=a&entri=b"])
async def test_a_purge_that_was_misspelt_purges_nothing(query: str) -> None:
    lobby = await a_lobby()
    answered(lobby, "Who?")
    assert post(lobby, "/cache/purge", query) == 400
    assert post(lobby, "/cache/purge", "tenant=") == {"purged": 0}
    assert post(lobby, "/cache/purge") == {"purged": 1}


async def test_forgetting_leaves_what_was_forgotten_unfound() -> None:
    lobby = await a_lobby()
    answered(lobby, "Who?")
    assert cached(lobby, "Who?") is not None
    assert post(lobby, "/cache/forget", "model=other") == {"forgotten": "other"}
    assert cached(lobby, "Who?") is not None
    assert post(lobby, "/cache/forget", "model=m") == {"forgotten": "m"}
    assert cached(lobby, "Who?") is None
    answered(lobby, "Who?")
    assert cached(lobby, "Who?") is not None
    assert post(lobby, "/cache/forget") == {"forgotten": "all"}
    assert cached(lobby, "Who?") is None


async def test_an_operator_calls_an_entry_wrong() -> None:
    lobby = await a_lobby()
    answered(lobby, "Who?", tenant="a")
    entry = cached(lobby, "Who?", tenant="a")
    assert post(lobby, f"/cache/wrong/{entry}") == {"entry": entry, "forgotten": True}
    assert post(lobby, f"/cache/wrong/{entry}") == 404
    assert post(lobby, "/cache/wrong/nonsense") == 400
    assert cached(lobby, "Who?", tenant="a") is None
    assert lobby.hall.dispatcher.cache is not None
    assert lobby.hall.dispatcher.cache.stats()["reported_wrong"] == 1


async def test_a_client_calls_wrong_what_its_own_tenant_was_answered() -> None:
    lobby = await a_lobby()
    answered(lobby, "Who?", tenant="a")
    entry, cache = cached(lobby, "Who?", tenant="a"), lobby.hall.dispatcher.cache
    assert entry is not None
    assert called_wrong(cache, entry, "b").status == called_wrong(cache, MISSING, "b").status == 404
    assert called_wrong(cache, entry.upper(), "a").status == 200
    assert called_wrong(None, entry, "a").status == 409


async def test_native_clients_say_so_on_their_connection() -> None:
    async with Lobby(cache=True).open() as lobby:
        lobby.hall.join("gpu-1")
        answered(lobby, "Who?", tenant="local")
        entry = cached(lobby, "Who?", tenant="local")
        visitor = await lobby.visit({"wrong": entry}, {"wrong": entry}, {"wrong": "nonsense"}, {"wrong": 7})
        told = [await visitor.line() for _ in range(4)]
        assert told[0] == {"wrong": {"entry": entry, "forgotten": True}}
        assert [line["wrong"]["forgotten"] for line in told[1:3]] == [False, False]
        assert told[3]["error"]["code"] == "invalid_wrong"
        lobby.clients.keys = KeyTable([])
        visitor.send({"wrong": entry, "key": "no key of anybody's"})
        assert (await visitor.line())["error"]["code"] == "invalid_api_key"


async def test_the_public_port_takes_it_too() -> None:
    async with Lobby(cache=True).open() as lobby:
        lobby.hall.join("gpu-1")
        answered(lobby, "Who?", tenant="local")
        entry = cached(lobby, "Who?", tenant="local")
        for status in (b"200", b"404"):
            head = f"POST /v1/cache/wrong/{entry} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            visitor = await lobby.visit(head.encode())
            assert (await visitor.rest()).split()[1] == status


async def test_warming_answers_the_same_requests_and_tells_what_it_could_not_take() -> None:
    async with Lobby(cache=True).open() as lobby:
        lobby.hall.join("gpu-1", slots=2)
        await warm(lobby)


async def test_others_have_their_turn_while_a_large_body_is_stored() -> None:
    async with Lobby(cache=True).open() as lobby:
        lobby.hall.join("gpu-1", slots=2)
        lines = [json.dumps({"prompt": f"Who is {number}?", "answer": "Nobody."}).encode() for number in range(2000)]
        warming = asyncio.create_task(call(lobby, b"\n".join(lines)))
        seen = set()
        while not warming.done():
            seen.add(len(lobby.hall.store))
            await asyncio.sleep(0)
        assert warming.result() == {"stored": 2000, "errors": []} and len(seen) > 10


async def call(lobby: Lobby, body: bytes) -> Any:
    """What warming the cache with this tells."""
    head = f"POST /cache/warm HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return (await (await reply(await lobby.visit(head.encode() + body, admin=True))).whole()).json


async def warm(lobby: Lobby) -> None:
    lines: list[object] = [
        {"prompt": "Who?", "answer": "Me.", "model": "m", "tenant": "a", "completion_tokens": 2},
        {"messages": [{"role": "user", "content": "Why?"}], "answer": "So.", "max_tokens": 9},
        {"prompt": "What?"},
        {"prompt": "What?", "answer": "That.", "n": 3},
        {"prompt": "What?", "answer": ""},
        {"answer": "x"},
        "no object",
    ]
    body = b"\n".join(json.dumps(line).encode() for line in lines) + b"\n\n{"
    found = await call(lobby, body)
    assert found["stored"] == 2
    assert [error["line"] for error in found["errors"]] == [3, 4, 5, 6, 7, 9]
    assert cached(lobby, "Who?", tenant="a") is not None
    assert cached(lobby, "Who?", tenant="b") is None
    assert not lobby.hall.calls


async def test_without_a_cache_all_of_it_is_refused() -> None:
    lobby = await a_lobby(cache=False)
    for path in ("/cache/purge", "/cache/forget", "/cache/warm", f"/cache/wrong/{MISSING}"):
        assert post(lobby, path) == 409
    assert post(lobby, "/cache/nothing") == 404
    assert post(lobby, "/cache/purge", method="GET") == 405


@pytest.mark.parametrize("text", ["", "ab", "zz" * 16, "ab" * 17])
def test_what_names_no_entry(text: str) -> None:
    assert entry_key(text) is None
    assert entry_key("AB" * 16) == b"\xab" * 16
