from __future__ import annotations

import json
from typing import Any

import pytest

from balancer import errors
from balancer.admission import models
from balancer.exchange.timeline import Limits
from balancer.pool.backend import ModelInfo
from balancer.wire.limits import BODY_MAX_BYTES
from tests.balancer.doors.caller import CHAT, COMPLETIONS, Reply, called, chat, completion, reply, request
from tests.balancer.doors.lobby import Lobby
from tests.fakes import FakeCall


def a_lobby(**changes: Any) -> Lobby:
    lobby = Lobby(**changes)
    lobby.hall.join("a", models=(ModelInfo("org/m", 2048),))
    return lobby


async def call_of(lobby: Lobby, sent: bytes) -> FakeCall:
    """What a backend is asked when a client sends this."""
    await lobby.visit(sent)
    await lobby.calls(1)
    return lobby.hall.calls[0]


# --- what is told at once


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
async def test_models_are_listed(path: str) -> None:
    async with a_lobby().open() as lobby:
        found = await called(lobby, request("GET", path))
    assert found.status == 200
    (model,) = found.json["data"]
    assert (model["id"], model["max_model_len"], model["created"]) == ("org/m", 2048, 1_800_000_000)


async def test_one_model_is_told_by_its_name() -> None:
    async with a_lobby().open() as lobby:
        for name in ("org/m", "org%2Fm"):
            assert (await called(lobby, request("GET", f"/v1/models/{name}"))).json["id"] == "org/m"
        missing = await called(lobby, request("GET", "/v1/models/other"))
    assert (missing.status, missing.code) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health"])
async def test_health_is_told(path: str) -> None:
    async with a_lobby().open() as lobby:
        assert (await called(lobby, request("GET", path))).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("GET", "/v1/responses", 405, "method_not_allowed"),
        ("GET", "/v1/responses/resp_1", 501, "not_implemented"),
        ("DELETE", "/v1/responses/resp_1", 501, "not_implemented"),
        ("POST", "/v1/responses/resp_1/cancel", 501, "not_implemented"),
        ("POST", "/v1/responses/input_tokens", 404, "not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", COMPLETIONS, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/" + "x" * 5000, 404, "not_found"),
    ],
)
async def test_what_is_not_served_says_so_in_few_words(method: str, path: str, status: int, code: str) -> None:
    async with a_lobby().open() as lobby:
        found = await called(lobby, request(method, path))
    assert (found.status, found.code) == (status, code)
    assert len(found.body) < 500
    assert ("allow" in found.headers) == (status == 405)
    assert found.headers.get("x-should-retry") == ("false" if status == 501 else None)


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_a_head_on_what_takes_post_gets_a_head_alone(path: str) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(request("HEAD", path), request("GET", "/livez"))
        assert (await reply(visitor)).status == 405
        assert (await (await reply(visitor)).whole()).json == {"status": "ok"}


# --- what is asked of a backend


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, b""),
        (COMPLETIONS, b"not json"),
        (COMPLETIONS, b"[]"),
        (COMPLETIONS, b'{"prompt":"\xff"}'),
        (COMPLETIONS, b'{"prompt":"\\ud800"}'),
        (COMPLETIONS, b"\xef\xbb\xbf" + b'{"prompt":"x"}'),
        (COMPLETIONS, {"prompt": ""}),
        (COMPLETIONS, {"prompt": 5}),
        (COMPLETIONS, {"prompt": "x", "model": 5}),
        (COMPLETIONS, {"messages": [{"role": "user", "content": "x"}]}),
        (CHAT, {"prompt": "x"}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": ["x"]}),
        (CHAT, {"messages": [{"role": "user", "content": " "}]}),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "stream": "yes"}),
        (CHAT, b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        (CHAT, {"messages": [{}] * 100_000}),
    ],
)
async def test_a_bad_request_is_a_400_and_asks_nobody(path: str, body: object) -> None:
    """Fault 34."""
    async with a_lobby().open() as lobby:
        found = await called(lobby, request("POST", path, body))
        assert lobby.hall.calls == []
    assert found.status == 400
    assert found.json["error"]["message"] and found.json["error"]["type"] == "invalid_request_error"
    assert len(found.body) < 500


async def test_a_body_that_is_too_long_is_a_413_before_it_is_sent() -> None:
    """Fault 34."""
    async with a_lobby().open() as lobby:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_MAX_BYTES + 1}\r\n\r\n"
        found = await called(lobby, head.encode())
    assert (found.status, found.code) == (413, "body_too_large")


RAW = b' { "model" : "org/m",\r\n\t"prompt": "gr\\u00fc\xc3\x9f",  "shiny": {"x": [1.50, 1e3]}, "n" :2, "n": 3%b}\n\r\n'


async def test_a_body_goes_on_as_it_came_where_nothing_has_to_change() -> None:
    async with a_lobby().open() as lobby:
        asked = (await call_of(lobby, request("POST", COMPLETIONS, RAW % b""))).request
    assert asked.raw == RAW % b""
    assert not asked.stream
    assert asked.body["n"] == 3


@pytest.mark.parametrize(
    ("value", "use"),
    [
        ("no-cache", "refresh"),
        ("no-store", "bypass"),
        ("only-if-cached", "only"),
        ("No-Cache", "refresh"),
        ("max-age=0", "default"),
        ("no-cache, max-age=0", "refresh"),
        ("no-cache,no-store", "bypass"),
        ("no-cachet", "default"),
        ("", "default"),
    ],
)
async def test_cache_control_says_how_the_cache_is_used(value: str, use: str) -> None:
    async with a_lobby(cache=True).open() as lobby:
        visitor = await lobby.visit(completion(f"Cache-Control: {value}"))
        if use == "only":
            found = await (await reply(visitor)).whole()
            assert (found.status, found.code) == (504, "not_cached")
            assert found.headers["x-should-retry"] == "false"
            return
        await lobby.calls(1)
        assert lobby.hall.calls[0].request.cache == use


# --- x-request-id


@pytest.mark.parametrize("name", ["abc", "0" * 128, "9f0c-12_3.4:5"])
async def test_a_sane_request_id_is_taken_over_for_client_and_backend(name: str) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(completion(f"X-Request-Id: {name}"))
        await lobby.calls(1)
        assert lobby.hall.calls[0].request.id == name
        lobby.hall.calls[0].fail(errors.rejected("no", None, 400))
        assert (await reply(visitor)).headers["x-request-id"] == name


@pytest.mark.parametrize("name", ["", " ", "a b", "0" * 129, "-x", "a\tb", "gr\u00fcn", "a;b", '"x"', "a\\nb", "<x>"])
async def test_any_other_request_id_is_replaced(name: str) -> None:
    """Fault 58; a line break in it is a malformed request before it is an id."""
    async with a_lobby().open() as lobby:
        found = await called(lobby, request("GET", "/livez", None, f"X-Request-Id: {name}"))
        assert found.headers["x-request-id"] == f"{0:024x}"


async def test_every_answer_has_a_request_id_of_its_own() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(
            *(request("GET", path) for path in ("/livez", "/nothing", "/v1/models")),
            request("POST", CHAT, b"junk"),
            b"GET nonsense\r\n\r\n",
        )
        found = [(await (await reply(visitor)).whole()).headers["x-request-id"] for _ in range(5)]
    assert len(set(found)) == 5


async def test_a_head_that_hides_another_field_in_its_id_is_refused() -> None:
    """Fault 58."""
    async with a_lobby().open() as lobby:
        found = await called(lobby, request("GET", "/livez", None, "X-Request-Id: a\nX-Evil: b"))
        assert found.status == 400 and "x-evil" not in found.headers


# --- the status of each error


async def failed_with(failure: errors.Failure) -> Reply:
    lobby = a_lobby()
    async with lobby.open():
        visitor = await lobby.visit(chat(stream=True))
        await lobby.calls(1)
        while lobby.hall.upstream.running:
            lobby.hall.upstream.running[0].fail(failure)
        return await (await reply(visitor)).whole()


@pytest.mark.parametrize(
    ("failure", "status", "type_", "retry_after"),
    [
        (errors.rejected("too long", "context_length_exceeded", 400), 400, "invalid_request_error", None),
        (errors.rejected("who?", None, 404), 404, "not_found_error", None),
        (errors.rejected("what?", None, 422), 422, "invalid_request_error", None),
        (errors.backend_failed("a", "reset"), 502, "server_error", "1"),
        (errors.backend_unreachable("a", "refused"), 502, "server_error", "1"),
        (errors.backend_timeout("a", "first token", 120), 504, "server_error", "1"),
    ],
)
async def test_a_failure_before_the_first_byte_is_a_status_with_an_error_object(
    failure: errors.Failure, status: int, type_: str, retry_after: str | None
) -> None:
    found = await failed_with(failure)
    assert found.status == status
    assert found.json == {
        "error": {"message": failure.message, "type": type_, "param": None, "code": failure.code},
    }
    assert found.headers.get("retry-after") == retry_after
    assert "x-should-retry" not in found.headers


async def test_a_model_that_nobody_offers_is_a_404(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "START_GRACE_S", 0.0)
    async with a_lobby().open() as lobby:
        found = await called(lobby, completion(model="gpt-9"))
        assert lobby.hall.calls == []
    assert (found.status, found.code) == (404, "model_not_found")
    assert "gpt-9" in found.json["error"]["message"]


async def test_without_a_backend_it_is_a_503_that_says_when_to_come_back() -> None:
    async with Lobby(default_model="m").open() as lobby:
        lobby.hall.join("a")
        lobby.hall.leave("a")
        found = await called(lobby, completion(model="m"))
    assert (found.status, found.code) == (503, "no_backend")
    assert int(found.headers["retry-after"]) >= 1


async def test_a_full_queue_is_a_503_at_once_and_one_that_takes_too_long_later() -> None:
    async with a_lobby(queue_size=1).open() as lobby:
        for _ in range(5):
            await lobby.visit(completion())
        await lobby.until(lambda: len(lobby.hall.queue) == 1)
        full = await called(lobby, completion())
        assert (full.status, full.code) == (503, "queue_full")
        assert 1 <= int(full.headers["retry-after"]) <= 120


async def test_a_deadline_is_a_504_that_is_not_worth_asking_again() -> None:
    lobby = Lobby()
    lobby.hall.dispatcher.limits = Limits(request_s=5.0)
    lobby.hall.join("a")
    async with lobby.open():
        visitor = await lobby.visit(completion())
        await lobby.calls(1)
        lobby.hall.dispatcher.advance(lobby.hall.clock.time() + 6.0)
        found = await (await reply(visitor)).whole()
        assert lobby.hall.calls[0].cancelled and lobby.hall.in_flight() == 0
    assert (found.status, found.code, found.headers["x-should-retry"]) == (504, "deadline_passed", "false")


async def test_a_daemon_that_stops_takes_nothing_new() -> None:
    async with a_lobby().open() as lobby:
        lobby.hall.dispatcher.stop()
        found = await called(lobby, completion())
    assert (found.status, found.code) == (503, "shutting_down")


# --- both endpoints, and tools and the like


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto"},
        {"logprobs": True, "top_logprobs": 2},
        {"response_format": {"type": "json_object"}},
        {"max_tokens": 1 << 24, "n": 128},
    ],
)
async def test_fields_pass_through_untouched(fields: dict[str, Any], stream: bool) -> None:
    async with a_lobby().open() as lobby:
        call = await call_of(lobby, chat(stream=stream, **fields))
        assert json.loads(call.request.raw) == call.request.body
        assert fields.items() <= call.request.body.items()
        assert call.request.stream is stream


async def test_a_clients_key_and_cookies_are_not_part_of_the_request() -> None:
    """Fault 58."""
    async with a_lobby().open() as lobby:
        call = await call_of(lobby, completion("Authorization: Bearer sk-canary", "Cookie: canary=1"))
        assert "canary" not in repr(call.request)
