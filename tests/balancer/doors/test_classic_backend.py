"""Classic backends: one line to register, heartbeats on the same connection, whose end is a leave."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from balancer.pool.backend import CLASSIC_MODEL, State
from balancer.wire import classic
from tests.balancer.doors.lobby import Lobby, Visitor


async def registered(lobby: Lobby, message: bytes = b"REGISTER|127.0.0.1|5000") -> Visitor:
    visitor = await lobby.visit(message)
    assert await visitor.some() == classic.REGISTERED
    return visitor


def state(lobby: Lobby) -> State:
    (member,) = lobby.hall.registry.members()
    return member.state


async def test_a_backend_registers_and_takes_prompts_of_those_who_name_no_model() -> None:
    async with Lobby().open() as lobby:
        await registered(lobby)
        (member,) = lobby.hall.registry.members()
        spec = member.spec
        assert (spec.name, spec.host, spec.port, spec.kind) == ("classic-127.0.0.1:5000", "127.0.0.1", 5000, "classic")
        assert (spec.slots, spec.max_prompt_bytes) == (1, classic.PROMPT_MAX_BYTES)
        assert [model.name for model in spec.models] == [CLASSIC_MODEL]
        assert member.state is State.ALIVE, "it is believed ready: it has no word for it"
        client = await lobby.visit({"id": 1, "prompt": "hi"})
        await lobby.calls(1)
        lobby.hall.calls[0].answer("x")
        assert await client.line() == {"id": 1, "text": "x"}


@pytest.mark.parametrize("beats", [b"HEARTBEAT 1", b"HEARTBEAT 1HEARTBEAT 2HEARTBEAT 3", b"HEARTBEAT 1\n" * 300])
async def test_beats_may_come_one_by_one_or_many_at_once(beats: bytes) -> None:
    async with Lobby().open() as lobby:
        visitor = await registered(lobby)
        (member,) = lobby.hall.registry.members()
        visitor.send(beats)
        await lobby.until(lambda: lobby.agents.counts["beats_classic"] >= 1)
        assert member.state is State.ALIVE


async def test_a_beat_may_be_cut_anywhere() -> None:
    async with Lobby().open() as lobby:
        visitor = await registered(lobby)
        for piece in (b"HEART", b"BEAT 1", b"2HEARTBEAT", b" 3", b"\nHEARTBEAT 4"):
            visitor.send(piece)
            await asyncio.sleep(0.01)
        assert len(list(lobby.hall.registry.members())) == 1
        assert lobby.agents.counts["beats_classic"] >= 2


@pytest.mark.parametrize(
    "garbage", [b"HELLO", b"\xff\xfe\xfd", b"HEARTBEAT 1 and more", b'{"beat":"x"}', b"X" * 100_000]
)
async def test_garbage_drops_the_link_and_is_no_sign_of_life(garbage: bytes) -> None:
    async with Lobby().open() as lobby:
        visitor = await registered(lobby)
        visitor.send(garbage)
        assert await visitor.rest() == b""
        await lobby.until(lambda: not list(lobby.hall.registry.members()))
        assert lobby.agents.counts["beats_classic"] == 0
        assert lobby.agents.counts["refused.classic_garbage"] == 1


@pytest.mark.parametrize(
    "message",
    [
        b"REGISTER|127.0.0.1",
        b"REGISTER|127.0.0.1|",
        b"REGISTER|127.0.0.1|0",
        b"REGISTER|127.0.0.1|99999",
        b"REGISTER|bad host|5000",
        b"REGISTER||5000",
        b"REGISTER|169.254.169.254|80",
        b"REGISTER|10.0.0.7|5000",
        b"REGISTER|nowhere.invalid|5000",
        b"REGISTER|\xff|5000",
    ],
)
async def test_what_cannot_be_registered_is_told_and_closed(message: bytes) -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(message)
        assert await visitor.rest() == classic.INVALID_REGISTER
        assert list(lobby.hall.registry.members()) == []
        assert lobby.agents.counts["refused.classic"] == 1


async def test_the_balancer_itself_is_no_backend() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(b"REGISTER|127.0.0.1|%d" % lobby.port)
        assert await visitor.rest() == classic.INVALID_REGISTER


async def test_one_that_listens_everywhere_is_reached_where_it_came_from() -> None:
    async with Lobby().open() as lobby:
        await registered(lobby, b"REGISTER|0.0.0.0|5000")
        (member,) = lobby.hall.registry.members()
        assert member.spec.host == "127.0.0.1"


async def test_elsewhere_is_taken_where_the_operator_allows_it() -> None:
    async with Lobby(classic_from=(ipaddress.ip_network("10.0.0.0/8"),)).open() as lobby:
        await registered(lobby, b"REGISTER|10.0.0.7|5000")


async def test_the_end_of_the_connection_is_a_leave() -> None:
    async with Lobby().open() as lobby:
        visitor = await registered(lobby)
        visitor.writer.close()
        await lobby.until(lambda: not list(lobby.hall.registry.members()))


async def test_one_that_registers_anew_takes_the_place_of_the_first() -> None:
    async with Lobby().open() as lobby:
        first = await registered(lobby)
        second = await registered(lobby)
        assert await first.rest() == b""
        assert len(list(lobby.hall.registry.members())) == 1
        second.send(b"HEARTBEAT 1")
        await lobby.until(lambda: lobby.agents.counts["beats_classic"] == 1)


async def test_silence_ends_it_but_not_while_an_answer_is_awaited() -> None:
    async with Lobby().open() as lobby:
        await registered(lobby)
        (member,) = lobby.hall.registry.members()
        lobby.hall.registry.hold(member.lease_id)
        now = member.heard_at
        lobby.agents.advance(now)
        for later in range(1, 200):
            lobby.agents.advance(now + 0.25 * later)
        assert state(lobby) is State.ALIVE
        lobby.hall.registry.unhold(member.lease_id, now + 50.0)
        for later in range(200, 240):
            lobby.agents.advance(now + 0.25 * later)
        assert state(lobby) is State.SUSPECT
        for later in range(240, 250):
            lobby.agents.advance(now + 0.25 * later)
        assert state(lobby) is State.DEAD


async def test_one_that_leaves_while_its_name_is_looked_up_leaves_nothing_behind() -> None:
    async with Lobby().open() as lobby:
        for _ in range(20):
            visitor = await lobby.visit(b"REGISTER|localhost|5000")
            await asyncio.sleep(0)
            visitor.leave()
        await registered(lobby, b"REGISTER|127.0.0.1|5001")
        await lobby.until(lambda: len(lobby.agents._links) == 1)
        assert [member.spec.port for member in lobby.hall.registry.members()] == [5001]
