from __future__ import annotations

import json

import pytest

from balancer import errors
from balancer.pool.backend import ModelInfo
from tests.balancer.doors.lobby import Lobby, Visitor


def a_lobby(**changes: object) -> Lobby:
    lobby = Lobby(**changes)  # type: ignore[arg-type]
    lobby.hall.join("a", models=(ModelInfo("org/m", 2048),))
    return lobby


def http(method: str, path: str, body: object = None, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def answered(visitor: Visitor) -> tuple[int, bytes, bytes]:
    head, _, body = (await visitor.rest()).partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


async def ask(lobby: Lobby, method: str, path: str, body: object = None) -> tuple[int, bytes, bytes]:
    return await answered(await lobby.visit(http(method, path, body)))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
async def test_models_are_listed(path: str) -> None:
    async with a_lobby().open() as lobby:
        status, _, body = await ask(lobby, "GET", path)
    assert status == 200
    (model,) = json.loads(body)["data"]
    assert (model["id"], model["max_model_len"], model["created"]) == ("org/m", 2048, 1_800_000_000)


async def test_one_model_is_told_by_its_name() -> None:
    async with a_lobby().open() as lobby:
        assert json.loads((await ask(lobby, "GET", "/v1/models/org/m"))[2])["id"] == "org/m"
        status, _, body = await ask(lobby, "GET", "/v1/models/other")
    assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health"])
async def test_health_is_told(path: str) -> None:
    async with a_lobby().open() as lobby:
        assert (await ask(lobby, "GET", path))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/embeddings", 501, "not_implemented"),
        ("GET", "/v1/responses", 501, "not_implemented"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/" + "x" * 5000, 404, "not_found"),
    ],
)
async def test_what_is_not_served_says_so_in_few_words(method: str, path: str, status: int, code: str) -> None:
    async with a_lobby().open() as lobby:
        found, head, body = await ask(lobby, method, path)
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert len(body) < 500
    assert (b"allow:" in head.lower()) == (status == 405)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", b"not json"),
        ("/v1/completions", b"[]"),
        ("/v1/completions", b'{"prompt":"\xff"}'),
        ("/v1/completions", {"prompt": ""}),
        ("/v1/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/chat/completions", {"prompt": "x"}),
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "stream": "yes"}),
        ("/v1/chat/completions", b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("/v1/chat/completions", {"messages": [{}] * 100_000}),
    ],
)
async def test_a_bad_request_is_a_400_and_asks_nobody(path: str, body: object) -> None:
    async with a_lobby().open() as lobby:
        status, _, answer = await ask(lobby, "POST", path, body)
        assert lobby.hall.calls == []
    assert status == 400
    assert json.loads(answer)["error"]["message"]


async def test_a_stream_is_relayed_as_it_comes_up_to_its_end() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(http("POST", "/v1/completions", {"prompt": "hi", "stream": True}))
        await lobby.calls(1)
        lobby.hall.calls[0].say("Once ")
        head = await visitor.some()
        assert b"text/event-stream" in head.lower()
        lobby.hall.calls[0].answer("upon")
        rest = await visitor.rest()
    assert b"Once " in head + rest and b"upon" in rest
    assert b"data: [DONE]" in rest


async def test_a_failure_before_the_first_byte_is_a_status_with_an_error_object() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(http("POST", "/v1/completions", {"prompt": "hi", "stream": True}))
        await lobby.calls(1)
        lobby.hall.calls[0].fail(errors.rejected("too long", "context_length_exceeded", 400))
        status, _, body = await answered(visitor)
    assert (status, json.loads(body)["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_break_mid_stream_is_never_a_clean_end() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(http("POST", "/v1/completions", {"prompt": "hi", "stream": True}))
        await lobby.calls(1)
        lobby.hall.calls[0].say("half")
        await visitor.some()
        lobby.hall.calls[0].fail(errors.backend_failed("a", "reset"))
        rest = await visitor.rest()
    assert b"[DONE]" not in rest
    assert b'"error"' in rest or not rest.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("streams", [True, False])
async def test_a_client_that_leaves_frees_its_slot(streams: bool) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(http("POST", "/v1/completions", {"prompt": "hi", "stream": True}))
        await lobby.calls(1)
        if streams:
            lobby.hall.calls[0].say("x")
            await visitor.some()
        visitor.writer.write_eof()  # on HTTP half a close is the end
        await lobby.until(lambda: lobby.hall.calls[0].cancelled)
        assert lobby.hall.in_flight() == 0
