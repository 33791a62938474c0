from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import Any

import pytest

from balancer.doors import control as control_door
from balancer.pool.backend import State
from balancer.wire import control, heartbeat
from balancer.wire.limits import CONTROL_LINE_MAX_BYTES
from tests.balancer.doors.agent import NONCE, a_register, an_agent
from tests.balancer.doors.lobby import Lobby

TOKEN = b"a secret between us"


def names(lobby: Lobby) -> list[str]:
    return [member.spec.name for member in lobby.hall.registry.members()]


async def test_a_backend_registers_with_its_proof_and_is_in_the_pool() -> None:
    async with Lobby(token=TOKEN).open() as lobby:
        agent = await an_agent(lobby, TOKEN)
        answer = await agent.register()
        assert answer["lease"] == {"id": agent.lease_id, "beat_s": 1.0, "deadline_s": 3.5}, "no key is sent"
        agent.beat()
        ack = (await agent.visitor.line())["ack"]
        assert heartbeat.open_ack(agent.key, control.datagram_bytes(ack)) == 1
        (member,) = lobby.hall.registry.members()
        assert member.state is State.ALIVE
        assert (member.spec.host, member.spec.port, member.spec.slots) == ("127.0.0.1", 8000, 2)
        assert member.spec.host_header == "127.0.0.1:8000"


async def test_without_a_token_a_backend_of_this_machine_is_given_its_key() -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        assert len((await agent.register())["lease"]["key"]) == 64
        agent.beat()
        assert "ack" in await agent.visitor.line()


@pytest.mark.parametrize("given", [None, b"a guess"])
async def test_a_wrong_or_missing_proof_is_refused_counted_and_audited(
    given: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with Lobby(token=TOKEN).open() as lobby:
        agent = await an_agent(lobby)
        with caplog.at_level(logging.WARNING, "balancer.audit"):
            answer = await agent.register(token=given)
        assert answer["refused"]["code"] == "bad_token"
        assert await agent.visitor.rest() == b""
        assert names(lobby) == []
        assert lobby.agents.counts["refused.bad_token"] == 1
        assert any("gpu-1" in message and "127.0.0.1" in message for message in caplog.messages)
        assert TOKEN.decode() not in caplog.text


async def test_a_captured_proof_is_worth_nothing_on_another_connection() -> None:
    async with Lobby(token=TOKEN).open() as lobby:
        first = await an_agent(lobby, TOKEN)
        await first.register()
        replay = await lobby.visit(a_register())
        await replay.line()
        replay.send({"prove": {"mac": first.proof}})
        assert (await replay.line())["refused"]["code"] == "bad_token"
        assert names(lobby) == ["gpu-1"]


async def test_one_connection_has_one_try() -> None:
    async with Lobby(token=TOKEN).open() as lobby:
        visitor = await lobby.visit(a_register(), {"prove": {"mac": "00"}}, {"prove": {"mac": "01"}})
        await visitor.line()
        assert "refused" in await visitor.line()
        assert lobby.agents.counts["registrations"] == 0


async def test_beyond_this_machine_a_token_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(peer: str) -> bool:
        return False

    monkeypatch.setattr(control_door, "is_loopback", not_here)
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        assert (await agent.register())["refused"]["code"] == "token_required"
    async with Lobby(insecure=True).open() as lobby:
        agent = await an_agent(lobby)
        assert "lease" in await agent.register()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest", "address_not_allowed"),
        ("http://[::ffff:169.254.169.254]:80", "address_not_allowed"),
        ("http://10.1.2.3:8000", "address_not_allowed"),
        ("http://0.0.0.0:8000", "address_not_allowed"),
        ("http://127.0.0.1:{port}", "address_not_allowed"),
        ("unix:///run/engine.sock", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("http://user:secret@127.0.0.1:8000", "bad_url"),
        ("http://127.0.0.1:8000/a b", "bad_url"),
        ("http://127.0.0.1:8000/?x=1", "bad_url"),
        ("http://127.0.0.1:8000/gr\u00fc\u00df", "bad_url"),
        ("http://127.0.0.1:99999", "bad_url"),
        ("http://", "bad_url"),
        ("not a url", "bad_url"),
    ],
)
async def test_addresses_that_must_never_be_dialled_are_refused_before_any_connect(url: str, code: str) -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        answer = await agent.register(url=url.format(port=lobby.port))
        assert answer["refused"]["code"] == code
        assert names(lobby) == []
        assert lobby.hall.calls == []


async def test_another_address_is_taken_where_the_operator_allows_it() -> None:
    async with Lobby(networks=(ipaddress.ip_network("10.0.0.0/8"),)).open() as lobby:
        agent = await an_agent(lobby)
        assert "lease" in await agent.register(url="http://10.1.2.3:8000/base/")
        (member,) = lobby.hall.registry.members()
        assert (member.spec.host, member.spec.path_prefix) == ("10.1.2.3", "/base")


async def test_a_name_that_another_holds_is_a_conflict_and_the_first_keeps_it() -> None:
    async with Lobby(networks=(ipaddress.ip_network("10.0.0.0/8"),)).open() as lobby:
        first = await an_agent(lobby)
        await first.register()
        second = await an_agent(lobby)
        refused = (await second.register(url="http://10.0.0.9:8000", instance="other"))["refused"]
        assert refused["code"] == "conflict"
        assert refused["retry_after_s"] > 0
        first.beat()
        assert "ack" in await first.visitor.line()
        assert names(lobby) == ["gpu-1"]


@pytest.mark.parametrize("restarts", [True, False])
async def test_a_hundred_registrations_of_one_backend_are_one_entry(restarts: bool) -> None:
    async with Lobby().open() as lobby:
        earlier = []
        for number in range(100):
            agent = await an_agent(lobby)
            answer = await agent.register(weight=2.0, instance=f"process-{number if restarts else 0}")
            assert "lease" in answer
            earlier.append(agent)
        (member,) = lobby.hall.registry.members()
        assert member.lease_id == agent.lease_id
        ledger = lobby.hall.registry.ledger
        assert (ledger.weight[member.index], ledger.in_flight[member.index]) == (2.0, 0)
        assert len(lobby.agents._links) == 1
        for gone in earlier[:-1]:
            assert await gone.visitor.rest() == b"", "a superseded link is closed"
        agent.beat()
        assert "ack" in await agent.visitor.line(), "and the end of the old ones took nothing from the new"


@pytest.mark.parametrize("how", ["leave", "eof", "reset"])
async def test_the_end_of_the_connection_is_a_leave(how: str) -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        await agent.register()
        match how:
            case "leave":
                agent.visitor.send({"leave": {}})
            case "eof":
                agent.visitor.writer.write_eof()
            case _:
                agent.visitor.leave()
        await lobby.until(lambda: names(lobby) == [])
        assert lobby.agents._links == {}


async def test_a_drain_goes_both_ways() -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        await agent.register()
        agent.beat()
        await agent.visitor.line()
        agent.visitor.send({"drain": True})
        (member,) = lobby.hall.registry.members()
        await lobby.until(lambda: member.state is State.DRAINING)
        agent.visitor.send({"drain": False})
        await lobby.until(lambda: member.state is State.ALIVE)
        lobby.agents.drain_by_operator("gpu-1", True)
        assert await agent.visitor.line() == {"drain": True}
        assert member.state is State.DRAINING


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[1]\n",
        b'{"prompt":"hello"}\n',
        b'{"beat":"not base64!"}\n',
        b'{"beat":7}\n',
        b'{"register":{}}\n',
        b"\xff\xfe\n",
        b'{"x":"' + b"y" * CONTROL_LINE_MAX_BYTES + b'"}\n',
    ],
)
async def test_garbage_drops_the_link_and_is_no_sign_of_life(line: bytes) -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        await agent.register()
        agent.visitor.send(line)
        assert "refused" in await agent.visitor.line()
        await lobby.until(lambda: names(lobby) == [])
        assert lobby.agents.counts["beats_tcp"] == 0


async def test_a_beat_with_a_wrong_mac_is_dropped_and_counted_and_the_link_lives_on() -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        await agent.register()
        key, agent.key = agent.key, b"another key"
        agent.beat()
        agent.key = key
        agent.beat()
        assert heartbeat.open_ack(key, control.datagram_bytes((await agent.visitor.line())["ack"])) == 2
        assert lobby.agents.counts["beats_dropped.wrong_mac"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"slots": 0},
        {"slots": "two"},
        {"name": "bad name\n"},
        {"name": ""},
        {"models": []},
        {"nonce": "short"},
        {"weight": -1},
        {"url": "http://127.0.0.1:8000/\r\nx: y"},
        {"labels": {"a\n": "b"}},
        {"endpoints": []},
    ],
)
async def test_a_registration_that_does_not_hold_is_refused_and_says_which_field(changes: dict[str, Any]) -> None:
    async with Lobby().open() as lobby:
        agent = await an_agent(lobby)
        refused = (await agent.register(**changes))["refused"]
        assert refused["code"] == "invalid_registration"
        assert names(lobby) == []


async def test_what_a_stranger_says_is_logged_on_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(a_register())
        await visitor.line()
        with caplog.at_level(logging.WARNING, "balancer.audit"):
            visitor.send({"x\n2026-01-01 INFO forged " + "y" * 9000: 1})
            await visitor.line()
        assert all("\n" not in message and len(message) < 400 for message in caplog.messages)
        assert caplog.messages


async def test_a_handshake_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_door, "HANDSHAKE_S", 0.1)
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(a_register())
        assert "challenge" in await visitor.line()
        assert await visitor.rest() == b""


async def test_a_register_line_in_pieces_is_the_same_line() -> None:
    async with Lobby(token=TOKEN).open() as lobby:
        line = control.message_line("register", a_register()["register"])
        visitor = await lobby.visit()
        for i in range(0, len(line), 7):
            visitor.send(line[i : i + 7])
            await asyncio.sleep(0)
        nonce = (await visitor.line())["challenge"]["nonce"]
        visitor.send({"prove": {"mac": control.proof(TOKEN, nonce, line[:-1]).hex()}})
        assert "lease" in await visitor.line()


def test_the_nonce_of_the_agent_is_part_of_what_is_proven() -> None:
    line = control.message_line("register", a_register()["register"])
    other = control.message_line("register", a_register(nonce=NONCE[::-1])["register"])
    assert not control.proof_holds(TOKEN, NONCE, other, control.proof(TOKEN, NONCE, line).hex())
