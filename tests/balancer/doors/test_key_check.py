"""Keys at the doors, for clients on this machine and for those that come from another one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.doors.health import PATHS
from balancer.doors.http import HttpConnection
from balancer.doors.native import NativeConnection
from tests.balancer.doors.lobby import Lobby

ALICE = "lb-alice"


def a_lobby() -> Lobby:
    lobby = Lobby()
    lobby.hall.join("a", slots=8)
    lobby.clients.keys = KeyTable([ClientKey("alice", digest_of(ALICE.encode()))])
    return lobby


class Far(asyncio.Transport):
    """A connection from another machine."""

    def __init__(self, door: HttpConnection | NativeConnection) -> None:
        super().__init__({"peername": ("10.0.0.9", 40_000), "sockname": ("10.0.0.1", 1234)})
        self.written = b""
        self._door = door
        self._closing = False
        door.connection_made(self)

    async def says(self, data: bytes) -> bytes:
        """Give the door this input; what it has written by the end of the loop's turn."""
        before = len(self.written)
        self._door.data_received(data)
        await asyncio.sleep(0)
        return self.written[before:]

    def leave(self) -> None:
        self._closing = True
        self._door.connection_lost(None)

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It takes whatever is written."""


def http(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def split(answer: bytes) -> tuple[int, bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


MODEL_PATHS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/completions/"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("HEAD", "/v1/models"),
    ("GET", "/v1/models/m"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), MODEL_PATHS)
async def test_over_http_nothing_but_health_is_answered_without_a_key(method: str, path: str) -> None:
    lobby = a_lobby()
    far = Far(lobby.doors.http())
    body = b"not even json"
    status, head, _ = split(await far.says(http(method, path, body=body if method == "POST" else b"")))
    assert status == 401 and b"\r\nwww-authenticate: bearer\r\n" in head
    assert lobby.hall.calls == []
    far.leave()


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_probes_need_no_key(path: str) -> None:
    far = Far(a_lobby().doors.http())
    assert split(await far.says(http("GET", path)))[0] == 200
    assert split(await far.says(http("GET", path, "Authorization: Bearer wrong")))[0] == 200
    far.leave()


WRONG = [
    "Bearer wrong",
    "Bearer",
    "Bearer ",
    f"Basic {ALICE}",
    ALICE,
    f"Bearer {ALICE}x",
    f"Bearer {ALICE} x",
    "Bearer \u00e9",
]


async def test_a_missing_a_malformed_and_an_unknown_key_get_the_same_body_in_openai_s_shape() -> None:
    lobby = a_lobby()
    far, bodies = Far(lobby.doors.http()), set()
    for headers in ([], *([f"Authorization: {wrong}"] for wrong in WRONG)):
        status, _, body = split(await far.says(http("GET", "/v1/models", *headers)))
        assert status == 401
        bodies.add(body)
    (body,) = bodies
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == "invalid_api_key"
    assert lobby.hall.dispatcher.counts["unauthenticated"] == 1 + len(WRONG)
    far.leave()


@pytest.mark.parametrize("header", [f"Authorization: Bearer {ALICE}", f"authorization: bearer   {ALICE} "])
async def test_over_http_the_key_names_the_tenant(header: str) -> None:
    lobby = a_lobby()
    far = Far(lobby.doors.http())
    assert split(await far.says(http("GET", "/v1/models", header)))[0] == 200
    await far.says(http("POST", "/v1/completions", header, body=b'{"prompt":"hi"}'))
    (call,) = lobby.hall.calls
    assert call.request.tenant == "alice"
    assert ALICE not in repr(call.request)
    call.answer("x")
    assert b"200 OK" in far.written
    far.leave()


async def test_a_native_line_from_elsewhere_needs_a_key_and_each_line_its_own() -> None:
    lobby = a_lobby()
    far = Far(lobby.doors.native())
    for line in (b'{"id":1,"prompt":"x"}', b'{"id":1,"prompt":"x","key":"wrong"}', b'{"id":1,"prompt":"x","key":""}'):
        said = json.loads(await far.says(line + b"\n"))
        assert (said["id"], said["error"]["code"], said["error"]["type"]) == (
            1,
            "invalid_api_key",
            "authentication_error",
        )
    assert lobby.hall.calls == []
    await far.says(json.dumps({"id": 1, "prompt": "x", "key": ALICE}).encode() + b"\n")
    (call,) = lobby.hall.calls
    assert call.request.tenant == "alice" and ALICE not in repr(call.request)
    assert json.loads(await far.says(b'{"id":2,"prompt":"x"}\n'))["error"]["code"] == "invalid_api_key"
    far.leave()


async def test_requests_without_id_that_are_refused_do_not_hold_up_those_behind_them() -> None:
    lobby = a_lobby()
    far = Far(lobby.doors.native())
    await far.says(b'{"prompt":"x"}\n' * 20 + json.dumps({"prompt": "y", "key": ALICE}).encode() + b"\n")
    await lobby.calls(1)
    assert far.written.count(b'"invalid_api_key"') == 20
    far.leave()


async def test_on_this_machine_a_missing_key_is_the_local_tenant_and_a_wrong_one_is_refused() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "x", "key": "wrong"}, {"id": 2, "prompt": "x"})
        line = await visitor.line()
        assert (line["id"], line["error"]["code"]) == (1, "invalid_api_key")
        await lobby.calls(1)
        web = await lobby.visit(http("GET", "/v1/models", "Authorization: Bearer wrong", "Connection: close"))
        assert split(await web.rest())[0] == 401
        web = await lobby.visit(http("POST", "/v1/completions", body=b'{"prompt":"x"}'))
        await lobby.calls(2)
        assert [call.request.tenant for call in lobby.hall.calls] == ["local", "local"]


async def test_classic_clients_have_no_keys_and_need_none() -> None:
    async with a_lobby().open() as lobby:
        await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        assert lobby.hall.calls[0].request.tenant == "classic"


async def test_the_operator_s_port_knows_no_keys() -> None:
    async with a_lobby().open() as lobby:
        ask = http("GET", "/status", "Connection: close").replace(b"Host: x", b"Host: localhost")
        visitor = await lobby.visit(ask, admin=True)
        assert split(await visitor.rest())[0] == 200
