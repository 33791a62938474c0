"""Long requests while they are being sent: who may send them, and how many at once."""

from __future__ import annotations

import asyncio

import pytest

from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.doors.clients import ClientLimits, Clients, Unfinished
from balancer.wire.limits import (
    BAD_LINES_MAX,
    BODY_MAX_BYTES,
    LINE_MAX_BYTES,
    PIPELINED_MAX_BYTES,
    UNFINISHED_MAX_BYTES,
)
from tests.balancer.doors.caller import CHAT, completion, reply, request
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.balancer.doors.native_visitor import a_lobby, error_of
from tests.fakes import Hall

ALICE = "Authorization: Bearer lb-alice"
WRONG = "Authorization: Bearer wrong"


def with_keys() -> Lobby:
    lobby = a_lobby()
    lobby.clients.keys = KeyTable([ClientKey("alice", digest_of(b"lb-alice"))])
    return lobby


def head(path: str, *headers: str, length: int = BODY_MAX_BYTES) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *headers, "", ""]).encode()


def at_hand(lobby: Lobby, size_bytes: int) -> None:
    """Others are sending so much that there is room for this much more."""
    lobby.clients.unfinished_bytes = UNFINISHED_MAX_BYTES - size_bytes


@pytest.mark.parametrize("path", [CHAT, "/v1/nothing", "/livez"])
async def test_a_wrong_key_is_refused_before_the_body_comes(path: str) -> None:
    async with with_keys().open() as lobby:
        visitor = await lobby.visit(head(path, WRONG, "X-Request-Id: mine-7"))
        found = await (await reply(visitor)).whole()
        assert (found.status, found.json["error"]["code"]) == (401, "invalid_api_key")
        assert found.headers["www-authenticate"] == "Bearer"
        assert found.headers["x-request-id"] == "mine-7"
        assert found.headers["connection"] == "close"
        assert lobby.clients.dispatcher.counts["unauthenticated"] == 1


async def test_who_sends_it_all_the_same_still_reads_why_and_none_of_it_is_kept() -> None:
    async with with_keys().open() as lobby:
        visitor = await lobby.visit(head(CHAT, WRONG) + b"x" * (BODY_MAX_BYTES - 1))
        assert (await reply(visitor)).status == 401
        await visitor.writer.drain()
        assert lobby.clients.unfinished_bytes == 0


async def test_a_wrong_key_is_not_told_to_go_on_and_a_right_one_is() -> None:
    async with with_keys().open() as lobby:
        wrong = await lobby.visit(head(CHAT, WRONG, "Expect: 100-continue"))
        assert (await reply(wrong)).status == 401
        right = await lobby.visit(head(CHAT, ALICE, "Expect: 100-continue"))
        assert (await right.read(12)) == b"HTTP/1.1 100"


async def test_the_key_of_each_request_on_a_connection_counts() -> None:
    async with with_keys().open() as lobby:
        visitor = await lobby.visit(request("POST", CHAT, {"messages": []}, ALICE))
        assert (await (await reply(visitor)).whole()).status == 400
        visitor.send(head(CHAT, ALICE, length=2), b"{")
        await lobby.until(lambda: lobby.clients.unfinished_bytes == 1)
        visitor.send(b"}")
        assert (await (await reply(visitor)).whole()).status == 400
        assert lobby.clients.unfinished_bytes == 0
        visitor.send(head(CHAT, WRONG))
        assert (await reply(visitor)).status == 401


async def test_a_key_that_is_taken_away_no_longer_uploads() -> None:
    async with with_keys().open() as lobby:
        visitor = await lobby.visit(request("POST", CHAT, {"messages": []}, ALICE))
        assert (await (await reply(visitor)).whole()).status == 400
        lobby.clients.keys = KeyTable()
        visitor.send(head(CHAT, ALICE, length=15))
        assert (await reply(visitor)).status == 401


async def test_more_than_all_together_may_send_is_refused_and_what_is_short_is_not() -> None:
    async with a_lobby().open() as lobby:
        at_hand(lobby, PIPELINED_MAX_BYTES)
        visitor = await lobby.visit(head(CHAT) + b"x" * (1 << 20))
        found = await (await reply(visitor)).whole()
        assert (found.status, found.json["error"]["code"]) == (503, "uploads_full")
        assert int(found.headers["retry-after"]) >= 1
        assert lobby.clients.unfinished_bytes == UNFINISHED_MAX_BYTES - PIPELINED_MAX_BYTES
        at_hand(lobby, 0)
        body = completion(prompt="x" * 1000)
        short = await lobby.visit(body[:-9])
        await lobby.until(lambda: lobby.clients.unfinished_bytes > UNFINISHED_MAX_BYTES)
        short.send(body[-9:])
        await lobby.calls(1)


async def test_a_long_line_is_counted_as_well() -> None:
    async with a_lobby().open() as lobby:
        at_hand(lobby, 0)
        visitor = await lobby.visit(b'{"prompt":"' + b"x" * (LINE_MAX_BYTES // 2))
        line = await visitor.line()
        assert line["error"]["code"] == "uploads_full"
        assert line["error"]["retry_after_s"] > 0
        assert await visitor.rest() == b""
        assert lobby.clients.unfinished_bytes == UNFINISHED_MAX_BYTES


@pytest.mark.parametrize("half", [head(CHAT) + b"x" * 5000, b'{"prompt":"' + b"x" * 5000])
@pytest.mark.parametrize("late", [False, True])
async def test_who_leaves_or_is_late_holds_nothing(half: bytes, late: bool) -> None:
    async with Lobby(limits=ClientLimits(line_s=0.2, body_s=0.2)).open() as lobby:
        visitor = await lobby.visit(half)
        await lobby.until(lambda: lobby.clients.unfinished_bytes >= 5000)
        if not late:
            visitor.leave()
        await lobby.until(lambda: lobby.clients.unfinished_bytes == 0)


def test_what_one_connection_holds_counts_once_and_only_growth_is_refused() -> None:
    clients = Clients(Hall().dispatcher, ClientLimits(), lambda: "id")
    one, other = Unfinished(clients), Unfinished(clients)
    assert one.hold(UNFINISHED_MAX_BYTES // 2)
    assert one.hold(UNFINISHED_MAX_BYTES)
    assert other.hold(PIPELINED_MAX_BYTES)
    assert not other.hold(PIPELINED_MAX_BYTES + 1)
    assert one.hold(UNFINISHED_MAX_BYTES - 1)
    one.hold(0)
    assert clients.unfinished_bytes == other.held_bytes == PIPELINED_MAX_BYTES + 1
    assert other.hold(PIPELINED_MAX_BYTES + 2)


# --- lines that make no sense


async def refusals(visitor: Visitor, count: int) -> set[str]:
    return {(await error_of(visitor))[1] for _ in range(count)}


async def test_too_many_bad_lines_in_a_row_close_the_connection() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"x\n" * 10_000)
        assert await refusals(visitor, BAD_LINES_MAX + 1) == {"not_json"}
        assert await error_of(visitor) == (None, "too_many_bad_lines")
        assert await visitor.rest() == b""


async def test_a_request_between_them_starts_the_count_anew_and_nothing_else_does() -> None:
    async with a_lobby().open() as lobby:
        asking = b'{"id":1,"prompt":"hi"}\n'
        visitor = await lobby.visit(b'x\n\n{"cancel":7}\n' * BAD_LINES_MAX + asking + b"x\n" * (BAD_LINES_MAX - 1))
        assert await refusals(visitor, 2 * BAD_LINES_MAX - 1) == {"not_json"}
        visitor.send(asking)
        assert await refusals(visitor, 1) == {"duplicate_id"}
        visitor.send(b"\n\nx\n")
        assert await refusals(visitor, 2) == {"not_json", "too_many_bad_lines"}
        assert await asyncio.wait_for(visitor.reader.read(), 10) == b""
