"""Requests sent far ahead of their answers wait with the client: what has come is bounded, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from balancer.doors.clients import ClientLimits
from balancer.doors.http import PIPELINED_MAX
from balancer.wire.limits import PIPELINED_MAX_BYTES
from tests.balancer.doors.caller import completion, reply, request
from tests.balancer.doors.lobby import Lobby, Visitor

LIVEZ = request("GET", "/livez")


async def statuses(visitor: Visitor, count: int) -> set[int]:
    return {(await (await reply(visitor)).whole()).status for _ in range(count)}


def reading(lobby: Lobby) -> bool:
    (connection,) = lobby.clients._open
    return not connection._held  # type: ignore[attr-defined, no-any-return]


async def test_more_at_once_than_may_wait_are_all_answered() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(LIVEZ * 1000)
        assert await statuses(visitor, 1000) == {200}


async def test_behind_an_answer_under_way_they_wait_and_then_come_in_order() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        visitor = await lobby.visit(completion() + LIVEZ * 40)
        await lobby.calls(1)
        await lobby.until(lambda: not reading(lobby))
        visitor.send(request("GET", "/nothing"))
        await asyncio.sleep(0.02)
        lobby.hall.calls[0].answer("first")
        first = await (await reply(visitor)).whole()
        assert b"first" in first.body
        assert await statuses(visitor, 40) == {200}
        assert await statuses(visitor, 1) == {404}
        assert reading(lobby)


@pytest.mark.parametrize(
    "piece", [request("GET", "/" + "x" * 9_000), request("POST", "/x")], ids=["in bytes", "in number"]
)
async def test_what_is_kept_of_them_is_bounded(piece: bytes) -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        visitor = await lobby.visit(completion(stream=True))
        await lobby.calls(1)
        count = min(2 * PIPELINED_MAX_BYTES // len(piece), 200)
        for _ in range(count):
            visitor.send(piece)
        await lobby.until(lambda: not reading(lobby))
        (connection,) = lobby.clients._open
        kept = connection._unread  # type: ignore[attr-defined]
        await asyncio.sleep(0.02)
        seen = len(kept)
        visitor.send(piece * count)
        await asyncio.sleep(0.02)
        assert len(kept) == seen > min(PIPELINED_MAX, count // 3)
        lobby.hall.calls[0].answer("done")
        assert await statuses(visitor, 1) == {200}
        assert await statuses(visitor, 2 * count) == {404}


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_who_leaves_while_nothing_is_read_is_noticed(how: str) -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        visitor = await lobby.visit(completion() + LIVEZ * 40)
        await lobby.calls(1)
        await lobby.until(lambda: not reading(lobby))
        lobby.clients.keep_alive()
        assert not lobby.hall.calls[0].cancelled
        if how == "end":
            visitor.writer.write_eof()
        else:
            visitor.leave()

        def noticed() -> bool:
            lobby.clients.keep_alive()  # twice a second
            return lobby.hall.calls[0].cancelled

        await lobby.until(noticed)
        await lobby.until(lambda: lobby.clients.connections == 0)


async def test_a_body_that_is_held_up_is_not_late() -> None:
    async with Lobby(limits=ClientLimits(body_s=0.1, line_s=0.1)).open() as lobby:
        lobby.hall.join("a")
        long = completion(prompt="x" * (1 << 20))
        visitor = await lobby.visit(completion())
        await lobby.calls(1)
        visitor.send(long)
        await lobby.until(lambda: not reading(lobby))
        await asyncio.sleep(0.2)
        lobby.hall.calls[0].answer("first")
        assert await statuses(visitor, 1) == {200}
        await lobby.calls(2)
        lobby.hall.calls[1].answer("second")
        assert await statuses(visitor, 1) == {200}


async def test_what_is_malformed_far_ahead_is_refused_in_its_turn() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        visitor = await lobby.visit(completion() + LIVEZ * 20 + b"GET nothing\r\n\r\n")
        await lobby.calls(1)
        visitor.send(b"x" * (1 << 20))
        lobby.hall.calls[0].answer("first")
        assert await statuses(visitor, 21) == {200}
        assert await statuses(visitor, 1) == {400}
        assert await visitor.rest() == b""
