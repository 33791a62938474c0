from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from balancer.doors.answer import Answer
from balancer.doors.http import HttpConnection
from balancer.pool.backend import State
from balancer.pool.load import Load
from balancer.wire.http1 import HttpRequest
from tests.balancer.doors.lobby import Lobby


async def a_lobby(**changes: Any) -> Lobby:
    lobby = Lobby(**changes)
    lobby.hall.join("gpu-1", slots=2)
    return lobby


def ask(lobby: Lobby, method: str, path: str, query: str = "", **headers: str) -> Answer:
    fields = {name.encode(): value.encode() for name, value in headers.items()}
    connection = HttpConnection(lobby.clients, lobby.admin.answer)
    found = lobby.admin.answer(HttpRequest(method, path, query, fields, b"", True), connection)
    assert isinstance(found, Answer)
    return found


def state(lobby: Lobby) -> State:
    (member,) = lobby.hall.registry.members()
    return member.state


def body(answer: Answer) -> Any:
    return json.loads(answer.body)


async def test_the_status_tells_backends_queue_cache_and_counts() -> None:
    lobby = await a_lobby(cache=True)
    lobby.hall.ask("one")
    lobby.hall.ask("two")
    lobby.hall.ask("three")
    answer = ask(lobby, "GET", "/status")
    status = body(answer)
    assert answer.status == 200
    (backend,) = status["backends"]
    assert (backend["name"], backend["state"], backend["in_flight"], backend["slots"]) == ("gpu-1", "alive", 2, 2)
    assert backend["models"] == ["m"]
    assert backend["beats"] == 1
    assert backend["breaker"] == {"state": "closed", "ejections": 0, "until_s": None}
    assert status["queue"]["waiting"] == 1
    assert status["exchanges"]["asking"] == 2
    assert status["cache"]["entries"] == 0
    assert status["counts"]["requests"] == 3
    assert (status["version"], status["stopping"]) == ("1.2.3", False)


async def test_the_status_tells_why_a_backend_is_not_alive_and_whether_it_was_ever_heard() -> None:
    lobby = await a_lobby()

    def told() -> tuple[str, str | None, bool]:
        (backend,) = body(ask(lobby, "GET", "/status"))["backends"]
        return backend["state"], backend["reason"], backend["heard_ms_ago"] is None

    registry = lobby.hall.registry
    now = lobby.hall.clock.time()
    (member,) = registry.members()
    assert told() == ("alive", None, False)
    registry.beat(member.lease_id, 100, Load(ready=False), now)
    assert told() == ("joining", "not ready", False)
    registry.register(replace(member.spec, instance="another"), now)
    assert told() == ("joining", "not heard yet", True)


async def test_the_backends_alone_are_told_as_in_the_status() -> None:
    lobby = await a_lobby()
    (alone,), (told,) = (body(ask(lobby, "GET", path))["backends"] for path in ("/backends", "/status"))
    assert (alone["name"], alone["state"], alone.keys()) == ("gpu-1", "alive", told.keys())


async def test_the_status_never_tells_a_key() -> None:
    lobby = await a_lobby(token=b"very secret token")
    assert b"secret" not in ask(lobby, "GET", "/status").body


async def test_a_backend_is_drained_and_taken_back_by_name() -> None:
    lobby = await a_lobby()
    assert body(ask(lobby, "POST", "/drain/gpu-1")) == {"backend": "gpu-1", "draining": True}
    assert state(lobby) is State.DRAINING
    ask(lobby, "POST", "/drain/gpu%2D1", "undo=1")
    assert state(lobby) is State.ALIVE
    missing = ask(lobby, "POST", "/drain/nobody")
    assert (missing.status, body(missing)["error"]["code"]) == (404, "no_such_backend")


async def test_the_cache_is_purged_whole_or_in_part() -> None:
    lobby = await a_lobby(cache=True)
    for tenant in ("one", "two", "three"):
        lobby.hall.ask("hello", tenant=tenant)
        lobby.hall.calls[-1].answer("x")
    assert body(ask(lobby, "POST", "/cache/purge", "tenant=one")) == {"purged": 1}
    assert body(ask(lobby, "POST", "/cache/purge", "tenant=two&model=other")) == {"purged": 0}
    assert body(ask(lobby, "POST", "/cache/purge")) == {"purged": 2}
    assert ask(await a_lobby(), "POST", "/cache/purge").status == 409


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/status", 405),
        ("GET", "/drain/gpu-1", 405),
        ("GET", "/cache/purge", 405),
        ("GET", "/", 404),
        ("HEAD", "/status/", 200),
        ("GET", "/reload", 405),
        ("PUT", "/backends", 405),
        ("POST", "/backends/gpu-1", 405),
        ("POST", "/livez", 405),
    ],
)
async def test_what_it_does_not_answer(method: str, path: str, status: int) -> None:
    assert ask(await a_lobby(cache=True), method, path).status == status


async def test_a_web_page_is_refused_whatever_it_asks() -> None:
    lobby = await a_lobby()
    for method, path in (("GET", "/status"), ("POST", "/drain/gpu-1")):
        assert ask(lobby, method, path, origin="http://127.0.0.1:1230").status == 403
    (member,) = lobby.hall.registry.members()
    assert member.state is State.ALIVE


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1230", "127.0.0.1.evil.example", "[", "a b"])
async def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert ask(await a_lobby(), "GET", "/status", host=host).status == 403


async def test_orchestrators_are_answered_here_too_whatever_they_call_the_host() -> None:
    lobby = await a_lobby()
    for path in ("/livez", "/readyz", "/healthz"):
        assert ask(lobby, "GET", path, host="balancer.example:1230").status == 200
    lobby.hall.dispatcher.stop()
    assert ask(lobby, "GET", "/readyz").status == 503
    assert ask(lobby, "GET", "/livez").status == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:1230", "127.0.0.1:1230", "[::1]:1230", "10.0.0.7"])
async def test_whoever_knows_the_address_is_answered(host: str) -> None:
    assert ask(await a_lobby(), "GET", "/status", host=host).status == 200


async def test_it_answers_on_a_port_of_its_own() -> None:
    lobby = await a_lobby()
    async with lobby.open():
        visitor = await lobby.visit(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", admin=True)
        assert (await visitor.some()).startswith(b"HTTP/1.1 200")
        public = await lobby.visit(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await public.some()).startswith(b"HTTP/1.1 404")


async def test_metrics_are_text_of_the_type_that_was_made_for_what_is_accepted() -> None:
    lobby = await a_lobby()
    assert ask(lobby, "GET", "/metrics").status == 404
    lobby.admin._metrics = lambda accept: (b"made for " + accept.encode(), "text/x")
    answer = ask(lobby, "GET", "/metrics", accept="this")
    assert (answer.status, answer.body, answer.headers) == (200, b"made for this", (("content-type", "text/x"),))
    assert ask(lobby, "POST", "/metrics").status == 405
    assert ask(lobby, "GET", "/metrics", origin="http://127.0.0.1:1230").status == 403
    assert b"/metrics" in ask(lobby, "GET", "/").body
