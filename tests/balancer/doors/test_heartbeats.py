from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncio_dgram
import pytest

from balancer.doors.heartbeats import HeartbeatDoor, free_port
from balancer.wire import heartbeat
from balancer.wire.heartbeat import Beat
from balancer.wire.limits import DATAGRAM_MAX_BYTES
from tests.balancer.doors.agent import RawAgent, an_agent
from tests.balancer.doors.lobby import Lobby


@contextlib.asynccontextmanager
async def beating(lobby: Lobby) -> AsyncIterator[tuple[RawAgent, asyncio_dgram.DatagramClient]]:
    """A registered agent, and its UDP socket."""
    agent = await an_agent(lobby)
    await agent.register()
    door = await HeartbeatDoor.open("127.0.0.1", lobby.port, lobby.agents)
    task = asyncio.ensure_future(door.run())
    stream = await asyncio_dgram.connect(("127.0.0.1", lobby.port))
    try:
        yield agent, stream
    finally:
        stream.close()
        door.close()
        async with asyncio.timeout(5):
            await task


async def acknowledged(agent: RawAgent, stream: asyncio_dgram.DatagramClient) -> int | None:
    async with asyncio.timeout(10):
        datagram, _ = await stream.recv()
    return heartbeat.open_ack(agent.key, datagram)


async def test_a_beat_is_acknowledged() -> None:
    async with Lobby().open() as lobby, beating(lobby) as (agent, stream):
        await stream.send(agent.datagram(running=1, slots=2))
        assert await acknowledged(agent, stream) == 1
        assert lobby.agents.counts["beats_udp"] == 1
        (member,) = lobby.hall.registry.members()
        assert member.load is not None and member.load.running == 1


async def test_garbage_is_never_answered_and_beats_go_on() -> None:
    async with Lobby().open() as lobby, beating(lobby) as (agent, stream):
        good = agent.datagram()
        for bad in (
            b"",
            b"garbage",
            b"\xff" * 60_000,
            good[:-1],
            good[:-1] + bytes([good[-1] ^ 1]),
            heartbeat.seal_beat(agent.key, 999, Beat(1)),
            good + b"x" * DATAGRAM_MAX_BYTES,
        ):
            await stream.send(bad)
        await stream.send(good)
        assert await acknowledged(agent, stream) == 1
        await stream.send(good)  # a captured beat
        await stream.send(agent.datagram())
        assert await acknowledged(agent, stream) == 2
        dropped = {name: n for name, n in lobby.agents.counts.items() if name.startswith("beats_dropped")}
        assert dropped["beats_dropped.stale_sequence"] == 1
        assert dropped["beats_dropped.unknown_lease"] == 1
        assert dropped["beats_dropped.wrong_mac"] >= 2
        assert dropped["beats_dropped.malformed"] >= 3


async def test_whatever_one_beat_does_the_others_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Lobby().open() as lobby, beating(lobby) as (agent, stream):
        real = lobby.agents.beat
        failed: list[bytes] = []

        def fails_once(datagram: bytes, way: str) -> bytes | None:
            if not failed:
                failed.append(datagram)
                raise RuntimeError("a bug")
            return real(datagram, way)

        monkeypatch.setattr(lobby.agents, "beat", fails_once)
        await stream.send(agent.datagram())
        await stream.send(agent.datagram())
        assert await acknowledged(agent, stream) == 2


async def test_an_agent_that_is_gone_when_its_acknowledgement_comes_does_no_harm() -> None:
    async with Lobby().open() as lobby, beating(lobby) as (agent, stream):
        for _ in range(5):
            gone = await asyncio_dgram.connect(("127.0.0.1", lobby.port))
            await gone.send(agent.datagram())
            gone.close()
        await stream.send(agent.datagram())
        assert await acknowledged(agent, stream) == 6


async def test_a_free_port_is_free_for_tcp_and_udp() -> None:
    port = await free_port("127.0.0.1")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", port)
    stream = await asyncio_dgram.bind(("127.0.0.1", port))
    stream.close()
    server.close()


async def test_a_taken_port_is_an_error() -> None:
    async with Lobby().open() as lobby:
        first = await HeartbeatDoor.open("127.0.0.1", lobby.port, lobby.agents)
        with pytest.raises(OSError):
            await HeartbeatDoor.open("127.0.0.1", lobby.port, lobby.agents)
        first.close()
