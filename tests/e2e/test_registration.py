"""Who may join the pool, and what keeps a backend in it. Faults 1 to 6."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from balancer.wire import control, heartbeat
from balancer.wire.heartbeat import Beat
from tests.e2e.pool import DEAD_AFTER_S, SLOW_MACHINE_S, backend, balancer, pool
from tests.e2e.raw_agent import RawAgent, raw_agent, registered
from tests.e2e.relay import tcp_only
from tests.e2e.talk import check_served

TOKEN = "correct horse battery staple"
ELSEWHERE = "http://127.0.0.1:9"


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return str(path)


async def test_only_a_backend_with_the_right_token_joins(token_file: str, tmp_path: Path) -> None:
    """Fault 1: the others are refused, recorded and counted, and the pool stays as it was."""
    wrong_file = tmp_path / "wrong"
    wrong_file.write_text("not the token\n")
    async with balancer("--token-file", token_file) as front, AsyncExitStack() as stack:
        wrong = await stack.enter_async_context(backend(front.port, "--token-file", str(wrong_file)))
        none = await stack.enter_async_context(backend(front.port))
        status = await front.until(lambda status: status["agents"].get("refused.bad_token", 0) >= 2)
        assert status["backends"] == []
        record = await front.program.wrote("refused: bad_token")
        assert '"logger": "balancer.audit"' in record and TOKEN not in front.program.log
        for program in (wrong, none):
            await program.wrote("bad_token")
        right = await stack.enter_async_context(backend(front.port, LLM_BALANCER_TOKEN=TOKEN))
        status = await front.until_alive(right)
        assert len(status["backends"]) == 1 and status["agents"]["registrations"] == 1
        await check_served(front.port)


async def test_a_captured_registration_cannot_be_used_again(token_file: str) -> None:
    """Fault 3: every challenge is new, so the old proof proves nothing."""
    async with balancer("--token-file", token_file) as front:
        async with raw_agent(front.port) as first:
            assert "lease" in await first.register(ELSEWHERE, TOKEN.encode())
        await front.until(lambda status: not status["backends"])
        async with raw_agent(front.port) as thief:
            thief.writer.write(first.register_line)
            assert "challenge" in await thief.receive()
            thief.writer.write(first.prove_line)
            assert (await thief.receive())["refused"]["code"] == "bad_token"
        assert (await front.status())["backends"] == []


async def test_an_altered_registration_is_refused(token_file: str) -> None:
    async with balancer("--token-file", token_file) as front, raw_agent(front.port) as agent:
        line = control.message_line("register", fields_of("one"))
        agent.writer.write(control.message_line("register", fields_of("other")))
        nonce = (await agent.receive())["challenge"]["nonce"]
        mac = control.proof(TOKEN.encode(), nonce, line.rstrip(b"\n")).hex()
        agent.writer.write(control.message_line("prove", {"mac": mac}))
        assert (await agent.receive())["refused"]["code"] == "bad_token"
        assert (await front.status())["backends"] == []


def fields_of(name: str) -> dict[str, object]:
    models, endpoints = [{"name": "echo"}], ["chat"]
    fields = {"name": name, "url": ELSEWHERE, "models": models, "endpoints": endpoints}
    return {**fields, "slots": 1, "nonce": "0" * 32, "instance": "1"}


async def test_captured_forged_and_foreign_beats_are_no_signs_of_life() -> None:
    """Faults 3 and 6: dropped, counted, and the backend they are for dies on time all the same."""
    async with balancer() as front, raw_agent(front.port) as agent:
        assert "lease" in await agent.register(ELSEWHERE)
        captured = agent.beat()
        await front.until(lambda status: status.state("by-hand") == "alive")
        forged = heartbeat.seal_beat(b"?" * 32, agent.lease["id"], Beat(2))
        foreign = heartbeat.seal_beat(agent.key, 987_654, Beat(3))
        noise = [b"", b"LB", b"\xff" * 100, os.urandom(60), b"x" * 60_000]

        async def dead() -> str | None:
            for datagram in (captured, forged, foreign, *noise):
                agent.send(datagram)
            return (await front.status()).state("by-hand")

        began = asyncio.get_running_loop().time()
        while await dead() != "dead":
            assert asyncio.get_running_loop().time() < began + DEAD_AFTER_S + SLOW_MACHINE_S
            await asyncio.sleep(0.1)
        status = await front.status()
        dropped = {name: count for name, count in status["agents"].items() if name.startswith("beats_dropped.")}
        assert all(dropped[f"beats_dropped.{why}"] > 0 for why in ("stale_sequence", "wrong_mac", "unknown_lease"))
        assert dropped["beats_dropped.malformed"] > 0 and status["agents"]["beats_udp"] == 1
        agent.beat()
        await front.until(lambda status: status.state("by-hand") == "alive")


async def test_garbage_on_a_control_connection_ends_it_and_nothing_else() -> None:
    """Fault 6: the link is dropped, its lease with it, and the daemon serves on."""
    async with pool() as (front, _):
        for garbage in (
            os.urandom(500) + b"\n",
            b"\xff\xfe\n",
            b"x" * (10 << 20),
            b'{"beat":"no base64"}\n',
            b'{"a":1}\n',
        ):
            async with raw_agent(front.port) as agent:
                assert "lease" in await agent.register(ELSEWHERE)
                agent.writer.write(garbage)
                await front.until(lambda status: status.state("by-hand") is None)
        assert len((await front.status()).alive) == 1
        await check_served(front.port)


FORBIDDEN_URLS = (
    "http://169.254.169.254/latest/meta-data",
    "http://0.0.0.0:80",
    "http://224.0.0.1:80",
    "http://10.1.2.3:8000",
    "http://[::ffff:169.254.169.254]:80",
    "unix:///tmp/engine.sock",
    "file:///etc/passwd",
    "http://user:secret@127.0.0.1:8000",
    "http://127.0.0.1:{own_port}",
)


async def test_addresses_that_are_nobodys_business_are_refused() -> None:
    """Fault 2."""
    async with balancer() as front:
        for url in FORBIDDEN_URLS:
            async with raw_agent(front.port) as agent:
                answer = await agent.register(url.format(own_port=front.port))
                assert answer["refused"]["code"] in ("address_not_allowed", "bad_url"), url
        status = await front.status()
        assert status["backends"] == []
        assert sum(count for name, count in status["agents"].items() if name.startswith("refused.")) == len(
            FORBIDDEN_URLS
        )


async def test_a_name_belongs_to_who_holds_it() -> None:
    """Fault 4: a second one from another address is told so, and the first keeps name and lease."""
    async with balancer() as front, registered(front.port, ELSEWHERE) as first, raw_agent(front.port) as second:
        refused = (await second.register("http://127.0.0.1:10", instance="2"))["refused"]
        assert refused["code"] == "conflict" and refused["retry_after_s"] > 0
        status = await front.status()
        assert [each["lease"] for each in status["backends"]] == [first.lease["id"]]


async def test_a_hundred_restarts_are_one_backend() -> None:
    """Fault 5."""
    async with balancer() as front, AsyncExitStack() as stack:
        agents: list[RawAgent] = []
        for n in range(100):
            agents.append(await stack.enter_async_context(raw_agent(front.port)))
            assert "lease" in await agents[-1].register(ELSEWHERE, instance=str(n), weight=2.0)
        agents[-1].beat()
        status = await front.until(lambda status: status.alive)
        assert len(status["backends"]) == 1
        (only,) = status["backends"]
        assert (only["lease"], only["weight"], only["in_flight"]) == (agents[-1].lease["id"], 2.0, 0)


async def test_where_udp_does_not_arrive_the_beats_come_over_tcp() -> None:
    """Swallowed on one way, refused on the other: both backends stay alive, and say what is wrong."""
    async with (
        balancer() as front,
        tcp_only(front.port, swallow=True) as silent,
        tcp_only(front.port, swallow=False) as refusing,
        backend(silent.port, "--name", "walled") as first,
        backend(refusing.port, "--name", "fenced") as second,
    ):
        status = await front.until_alive(first, second)
        while status["agents"].get("beats_tcp", 0) < 10:
            assert len(status.alive) == 2
            await asyncio.sleep(0.05)
            status = await front.status()
        assert "beats_udp" not in status["agents"] and silent.datagrams > 0
        for program in (first, second):
            await program.wrote("UDP to")
        await check_served(front.port)
