from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pytest

from balancer.doors.agents import Agents
from balancer.pool.backend import State
from balancer.pool.detector import NATIVE
from balancer.pool.load import Load
from balancer.pool.transition import Registered
from balancer.wire import heartbeat
from balancer.wire.heartbeat import Beat
from tests.balancer.pool.specs import a_spec
from tests.fakes import Hall

KEY = b"k" * 32


class Link:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def drain(self, draining: bool) -> None:
        self.heard.append(("drain", draining))

    def superseded(self) -> None:
        self.heard.append("superseded")

    def expired(self) -> None:
        self.heard.append("expired")


class Desk:
    """Agents over a hall, with a clock that stands still."""

    def __init__(self) -> None:
        self.hall = Hall()
        self.agents = Agents(
            self.hall.registry,
            self.hall.clock,
            lambda size: b"\x07" * size,
            pool_changed=self.hall.dispatcher.pool_changed,
            token=None,
            insecure=False,
            networks=(),
            own_port=1234,
            own_hosts=("127.0.0.1",),
            beat_s=1.0,
            deadline_s=NATIVE.dead_after_s,
        )

    def register(self, link: Link, **changes: Any) -> int:
        found = self.agents.register(a_spec("a", **changes), KEY, link)
        assert isinstance(found, Registered), found
        return found.lease_id

    def beat(self, lease_id: int, sequence: int, key: bytes = KEY) -> bytes | None:
        return self.agents.beat(heartbeat.seal_beat(key, lease_id, Beat(sequence)), "udp")

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.25)):
            self.hall.clock.now += 0.25
            self.agents.advance(self.hall.clock.now)

    def state(self) -> State | None:
        member = self.hall.registry.named("a")
        return member.state if member is not None else None


def test_a_beat_is_acknowledged_and_a_sign_of_life() -> None:
    desk = Desk()
    lease_id = desk.register(Link())
    ack = desk.beat(lease_id, 1)
    assert ack is not None
    assert heartbeat.open_ack(KEY, ack) == 1
    assert desk.state() is State.ALIVE


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "malformed"),
        (b"garbage", "malformed"),
        (b"\xff" * 10_000, "malformed"),
        (heartbeat.seal_beat(KEY, 999, Beat(5)), "unknown_lease"),
        (heartbeat.seal_beat(b"other", 1, Beat(5)), "wrong_mac"),
        (heartbeat.seal_ack(KEY, 1, 5), "wrong_mac"),
        (heartbeat.seal_beat(KEY, 1, Beat(1)), "stale_sequence"),
        (heartbeat.seal_beat(KEY, 1, Beat(0)), "stale_sequence"),
    ],
)
def test_what_is_no_fresh_beat_of_a_known_lease_is_dropped_counted_and_no_sign_of_life(
    datagram: bytes, reason: str
) -> None:
    desk = Desk()
    assert desk.register(Link()) == 1
    desk.beat(1, 1)
    desk.pass_time(2.0)
    assert desk.agents.beat(datagram, "udp") is None
    assert desk.agents.counts["beats_dropped." + reason] == 1
    member = desk.hall.registry.member(1)
    assert member is not None
    assert desk.hall.clock.now - member.heard_at == 2.0


def test_silence_ends_in_death_and_a_late_beat_revives_without_registering() -> None:
    desk, link = Desk(), Link()
    lease_id = desk.register(link)
    desk.beat(lease_id, 1)
    desk.pass_time(NATIVE.dead_after_s + 0.25)
    assert desk.state() is State.DEAD
    assert link.heard == []
    desk.beat(lease_id, 2)
    assert desk.state() is State.ALIVE


def test_a_lease_that_is_forgotten_closes_its_link() -> None:
    desk, link = Desk(), Link()
    desk.register(link)
    desk.pass_time(70.0)
    assert desk.state() is None
    assert link.heard == ["expired"]


@pytest.mark.parametrize("instance", ["a-1", "a-2"])
def test_a_registration_of_the_same_name_supersedes_the_link_before_it(instance: str) -> None:
    desk, first, second = Desk(), Link(), Link()
    old = desk.register(first)
    new = desk.register(second, instance=instance)
    assert (first.heard, second.heard) == (["superseded"], [])
    desk.agents.left(old, first)  # its connection ends now
    assert desk.state() is not None
    desk.agents.left(new, second)
    assert desk.state() is None


def test_a_leave_ends_what_ran_there_at_once() -> None:
    desk, link = Desk(), Link()
    lease_id = desk.register(link)
    desk.beat(lease_id, 1)
    _, sink = desk.hall.ask()
    desk.hall.calls[0].say("half")
    desk.agents.left(lease_id, link)
    assert sink.code == "backend_lost"


def test_an_operators_drain_is_told_to_the_agent() -> None:
    desk, link = Desk(), Link()
    desk.beat(desk.register(link), 1)
    desk.agents.drain_by_operator("a", True)
    assert desk.state() is State.DRAINING
    desk.agents.drain_by_operator("a", False)
    assert desk.state() is State.ALIVE
    assert link.heard == [("drain", True), ("drain", False)]
    with pytest.raises(KeyError):
        desk.agents.drain_by_operator("nobody", True)


def test_a_sign_of_life_without_load_counts_too() -> None:
    desk = Desk()
    lease_id = desk.register(Link(), kind="classic")
    desk.pass_time(7.0)
    desk.agents.heard(lease_id)
    desk.pass_time(7.0)
    assert desk.state() is not State.DEAD
    desk.agents.heard(12345)
    assert desk.agents.counts["beats_classic"] == 2


def test_the_pool_learns_every_number_that_a_beat_tells() -> None:
    desk = Desk()
    lease_id = desk.register(Link())
    told = {field.name: number for number, field in enumerate(fields(Load), start=2)} | {"draining": False}
    beat = Beat(1, **told)  # type: ignore[arg-type]
    assert desk.agents.beat(heartbeat.seal_beat(KEY, lease_id, beat), "udp") is not None
    member = desk.hall.registry.member(lease_id)
    assert member is not None and member.load is not None
    assert asdict(member.load) == told | {"ready": True}


def test_nonces_and_keys_are_drawn_from_the_given_source() -> None:
    desk = Desk()
    assert desk.agents.nonce() == "07" * 16
    assert desk.agents.random_key() == b"\x07" * 32
