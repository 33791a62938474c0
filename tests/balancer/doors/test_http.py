from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balancer.doors.clients import ClientLimits
from balancer.doors.http import PIPELINED_MAX
from balancer.wire.limits import BODY_MAX_BYTES, HEAD_MAX_BYTES, UNSENT_MAX_BYTES
from tests.balancer.doors.caller import completion, reply
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.fakes import FakeCall


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def answer(visitor: Visitor, *, has_body: bool = True) -> Answer:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await visitor.read(1)
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    status = int(lines[0].split()[1])
    body = await visitor.read(int(headers.get("content-length", "0"))) if has_body and status != 100 else b""
    return Answer(status, headers, body)


async def closed(visitor: Visitor) -> bool:
    return await visitor.rest() == b""


async def test_requests_on_one_connection_are_answered_in_order_and_it_is_kept() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez") + get("/nothing") + get("/v1/models")[:9])
        assert (await answer(visitor)).status == 200
        assert (await answer(visitor)).status == 404
        visitor.send(get("/v1/models")[9:])
        found = await answer(visitor)
        assert found.json == {"object": "list", "data": []}
        assert found.headers["content-type"] == "application/json"


@pytest.mark.parametrize("first", [get("/livez", "Connection: close"), get("/livez", version="1.0")])
async def test_a_connection_closes_when_its_client_says_so(first: bytes) -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(first + get("/livez"))
        assert (await answer(visitor)).headers["connection"] == "close"
        assert await closed(visitor)


async def test_to_http_1_0_it_says_that_it_stays_open() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        visitor = await lobby.visit(get("/livez", "Connection: keep-alive", version="1.0"))
        assert (await answer(visitor)).headers["connection"] == "keep-alive"
        visitor.send(completion("Connection: keep-alive", version="1.0"))
        await lobby.calls(1)
        lobby.hall.calls[0].answer("hello")
        assert (await answer(visitor)).headers["connection"] == "keep-alive"
        visitor.send(get("/livez"))
        assert "connection" not in (await answer(visitor)).headers


async def test_a_head_request_gets_the_head_alone() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez", method="HEAD") + get("/livez"))
        assert int((await answer(visitor, has_body=False)).headers["content-length"]) > 0
        assert (await answer(visitor)).json == {"status": "ok"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/x", "Content-Length: 5", "Content-Length: 6", method="POST"), 400),
        (get("/x", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"), 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET nothing\r\n\r\n", 400),
        (get("/x", f"X: {'y' * HEAD_MAX_BYTES}"), 431),
        (get("/x", *(f"X{i}: y" for i in range(200))), 431),
        (get("/x", f"Content-Length: {BODY_MAX_BYTES + 1}", method="POST"), 413),
        (get("/x", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400),
        (get("/x", "Transfer-Encoding: gzip, chunked", method="POST"), 501),
    ],
)
async def test_what_is_malformed_or_too_large_is_refused_and_closed(request_: bytes, status: int) -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(request_)
        found = await answer(visitor)
        assert found.status == status
        assert found.headers["connection"] == "close"
        assert found.headers.get("x-should-retry") == ("false" if status >= 500 else None)
        assert found.json["error"]["message"]
        assert await closed(visitor)


async def test_what_came_whole_before_a_malformed_request_is_answered_first() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez") + b"GET nothing\r\n\r\n")
        assert (await answer(visitor)).status == 200
        assert (await answer(visitor)).status == 400
        assert await closed(visitor)


async def test_a_client_that_uploads_far_too_much_still_reads_why() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/x", "Transfer-Encoding: chunked", method="POST"))
        piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        for _ in range(20):
            visitor.send(piece)
        assert (await answer(visitor)).status == 413


@pytest.mark.parametrize(
    "half", [b"GET /livez HT", get("/x", "Content-Length: 5", method="POST") + b"hel"], ids=["head", "body"]
)
async def test_half_a_request_and_then_silence_is_a_408(half: bytes) -> None:
    async with Lobby(limits=ClientLimits(line_s=0.1, body_s=0.1)).open() as lobby:
        visitor = await lobby.visit(half)
        assert (await answer(visitor)).status == 408
        assert await closed(visitor)


async def test_a_head_that_begins_behind_another_request_has_its_own_time() -> None:
    async with Lobby(limits=ClientLimits(line_s=1.2)).open() as lobby:
        whole = get("/livez")
        visitor = await lobby.visit(whole[:5])
        for _ in range(5):  # each piece ends in the middle of a head
            await asyncio.sleep(0.3)
            visitor.send(whole[5:] + whole[:5])
            assert (await answer(visitor)).status == 200


@pytest.mark.parametrize("admin", [False, True])
async def test_an_idle_connection_is_closed(admin: bool) -> None:
    async with Lobby(limits=ClientLimits(idle_s=0.1)).open() as lobby:
        visitor = await lobby.visit(b"" if admin else get("/livez"), admin=admin)
        if not admin:
            await answer(visitor)
        assert await closed(visitor)


async def test_who_asks_for_it_is_told_to_go_on() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        assert (await answer(visitor)).status == 100
        visitor.send(b"{}")
        assert (await answer(visitor)).status == 405


async def test_a_client_that_asks_and_never_reads_is_cut_in_bounded_memory() -> None:
    async with Lobby(limits=ClientLimits(write_s=0.2)).open() as lobby:
        visitor = await lobby.visit()
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        most = 0
        pipelined = get("/nothing" + "x" * 150) * PIPELINED_MAX
        for _ in range(10_000):  # the kernel alone keeps some megabytes for it
            if not lobby.clients.connections:
                break
            visitor.send(pipelined)
            await asyncio.sleep(0)
            for connection in lobby.clients._open:
                most = max(most, connection._transport.get_write_buffer_size())  # type: ignore[attr-defined]
        await lobby.until(lambda: lobby.clients.connections == 0)
        assert most < 2 * UNSENT_MAX_BYTES


# --- while an answer is being made


async def pending(lobby: Lobby, *behind: bytes) -> tuple[Visitor, FakeCall]:
    """A stream under way, and what the client sent behind its request."""
    lobby.hall.join("a")
    visitor = await lobby.visit(completion(stream=True), *behind)
    await lobby.calls(1)
    return visitor, lobby.hall.calls[0]


async def streamed(visitor: Visitor) -> bytes:
    return (await (await reply(visitor)).whole()).body


async def test_requests_behind_it_wait_their_turn_and_are_answered_in_order() -> None:
    async with Lobby().open() as lobby:
        visitor, call = await pending(lobby, get("/livez"), completion(stream=True), get("/nothing"))
        await asyncio.sleep(0.02)
        assert len(lobby.hall.calls) == 1
        call.answer("one")
        assert b"one" in await streamed(visitor)
        assert (await answer(visitor)).json == {"status": "ok"}
        await lobby.calls(2)
        lobby.hall.calls[1].answer("two")
        assert b"two" in await streamed(visitor)
        assert (await answer(visitor)).status == 404


async def test_two_on_one_connection_need_no_more_than_one_slot() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a", slots=1)
        visitor = await lobby.visit(completion(stream=True) * 3)
        for n in range(3):
            await lobby.calls(n + 1)
            lobby.hall.calls[n].answer(f"<{n}>")
            assert f"<{n}>".encode() in await streamed(visitor)
        assert lobby.hall.in_flight() == 0


@pytest.mark.parametrize("later", [True, False])
async def test_what_is_malformed_behind_it_does_not_harm_it_and_is_refused_after_it(later: bool) -> None:
    async with Lobby().open() as lobby:
        visitor, call = await pending(lobby, *([] if later else [b"GET nothing\r\n\r\n"]))
        if later:
            visitor.send(b"GET nothing\r\n\r\n")
        call.say("one")
        await asyncio.sleep(0.02)
        visitor.send(b"and more junk")
        call.answer("two")
        assert (await streamed(visitor)).endswith(b"data: [DONE]\n\n")
        assert (await answer(visitor)).status == 400
        assert await closed(visitor)


async def test_half_a_request_behind_it_is_told_so_after_it() -> None:
    async with Lobby(limits=ClientLimits(line_s=0.05)).open() as lobby:
        visitor, call = await pending(lobby, b"GET /livez HT")
        call.say("one")
        await asyncio.sleep(0.15)
        call.answer("two")
        assert (await streamed(visitor)).endswith(b"data: [DONE]\n\n")
        assert (await answer(visitor)).status == 408


async def test_who_waits_to_go_on_is_told_after_it() -> None:
    async with Lobby().open() as lobby:
        visitor, call = await pending(lobby, get("/x", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        call.answer("one")
        assert (await streamed(visitor)).endswith(b"data: [DONE]\n\n")
        assert (await answer(visitor)).status == 100
        visitor.send(b"{}")
        assert (await answer(visitor)).status == 404


async def test_a_connection_is_kept_alive_by_its_answer_however_long_that_takes() -> None:
    async with Lobby(limits=ClientLimits(idle_s=0.05, line_s=0.05, body_s=0.05)).open() as lobby:
        visitor, call = await pending(lobby)
        await asyncio.sleep(0.15)
        call.answer("late")
        assert b"late" in await streamed(visitor)


async def test_when_the_daemon_stops_an_answer_is_finished_and_what_waits_behind_it_is_not_begun() -> None:
    async with Lobby().open() as lobby:
        visitor, call = await pending(lobby, get("/livez"))
        lobby.clients.drain()
        call.answer("to the end")
        assert b"to the end" in await streamed(visitor)
        assert await closed(visitor)


# --- the end


async def test_what_was_asked_before_half_a_close_is_answered_where_that_takes_no_time() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez"))
        visitor.writer.write_eof()
        assert (await answer(visitor)).status == 200
        assert await closed(visitor)


async def test_when_the_daemon_stops_an_idle_connection_gets_one_more_answer_which_says_so() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez"))
        await answer(visitor)
        lobby.hall.dispatcher.stop()
        lobby.clients.drain()
        visitor.send(get("/readyz"))
        last = await answer(visitor)
        assert (last.status, last.headers["connection"]) == (503, "close")
        assert await closed(visitor)


async def test_a_client_that_leaves_is_forgotten() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(get("/livez"))
        await answer(visitor)
        visitor.writer.close()
        await lobby.until(lambda: lobby.clients.connections == 0)
