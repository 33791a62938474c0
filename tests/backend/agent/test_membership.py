from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import pytest

from backend.agent.identity import Identity
from backend.agent.membership import Membership
from backend.engines.base import EngineLoad
from balancer.wire.control import Model, Refused
from tests.backend.fakes import FakeBalancer, until

IDENTITY = Identity(
    name="b-1",
    instance="0011",
    url=None,
    port=8123,
    slots=4,
    weight=2.0,
    version="1",
    engine="echo",
    models=(Model("echo", 512),),
    abilities=("token_ids",),
    labels={"zone": "a"},
)


@contextlib.asynccontextmanager
async def member(
    balancer: FakeBalancer, token: bytes = b"", load: EngineLoad | None = None
) -> AsyncIterator[Membership]:
    membership = Membership(
        "127.0.0.1", balancer.port, IDENTITY, token=token, load=lambda: load or EngineLoad(), rng=Random(1)
    )
    task = asyncio.ensure_future(membership.run())
    try:
        yield membership
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_registers_every_field_and_beats_by_udp_with_its_load() -> None:
    async with FakeBalancer() as balancer, member(balancer, load=EngineLoad(running=2, kv_tokens_used=9)):
        await balancer.until(lambda: len(balancer.beats) >= 3)
    register = balancer.registrations[0]
    assert (register.name, register.instance, register.slots, register.weight) == ("b-1", "0011", 4, 2.0)
    assert (register.engine, register.version, register.labels) == ("echo", "1", {"zone": "a"})
    assert register.endpoints == ("chat", "completions")
    assert register.abilities == ("token_ids",)
    assert [(m.name, m.context_length) for m in register.models] == [("echo", 512)]
    assert [way for way, _ in balancer.beats[:3]] == ["udp"] * 3
    beat = balancer.beats[0][1]
    assert (beat.running, beat.slots, beat.kv_tokens_used, beat.ready, beat.draining) == (2, 4, 9, True, False)


async def test_where_it_listens_on_every_address_it_names_the_one_the_balancer_sees() -> None:
    async with FakeBalancer() as balancer, member(balancer):
        await balancer.until(lambda: bool(balancer.registrations))
    assert balancer.registrations[0].url == "http://127.0.0.1:8123"


async def test_proves_the_token_and_derives_the_key_that_is_never_sent() -> None:
    async with FakeBalancer(token=b"secret") as balancer, member(balancer, token=b"secret"):
        await balancer.until(lambda: bool(balancer.beats))  # the fake asserts the MAC of every beat


async def test_a_wrong_token_is_refused_and_tried_again_slowly() -> None:
    async with FakeBalancer(token=b"secret") as balancer, member(balancer, token=b"guess") as membership:
        await balancer.until(lambda: len(balancer.registrations) == 1)
        await asyncio.sleep(0.5)
        assert len(balancer.registrations) == 1
        assert not membership.registered.is_set()


async def test_a_refusal_says_when_to_come_again() -> None:
    refused = Refused("conflict", "the name is taken", retry_after_s=0.01)
    async with FakeBalancer(refusals=[refused, refused]) as balancer, member(balancer) as membership:
        await membership.registered.wait()
        assert len(balancer.registrations) == 3


async def test_a_stuck_engine_is_told_as_not_ready() -> None:
    stuck = EngineLoad(running=1, ms_since_step=10_000)
    async with FakeBalancer() as balancer, member(balancer, load=stuck):
        await balancer.until(lambda: bool(balancer.beats))
    assert not balancer.beats[0][1].ready


async def test_beats_take_the_control_connection_where_udp_is_blocked_and_come_back() -> None:
    async with FakeBalancer(acks_udp=False) as balancer, member(balancer):
        await balancer.until(lambda: len(balancer.beats) >= 3)
        assert {way for way, _ in balancer.beats} == {"control"}
        balancer.acks_udp = True
        await balancer.until(lambda: [way for way, _ in balancer.beats[-3:]] == ["udp"] * 3)


async def test_comes_back_quickly_after_a_restart_of_the_balancer() -> None:
    balancer = FakeBalancer()
    async with balancer, member(balancer) as membership:
        await balancer.until(lambda: bool(balancer.beats))
        await balancer.stop()
        await until(lambda: not membership.registered.is_set())
        await balancer.start()
        async with asyncio.timeout(5):
            await membership.registered.wait()
        await balancer.until(lambda: len(balancer.registrations) == 2)


async def test_a_balancer_that_is_heard_on_no_way_is_dialled_anew() -> None:
    async with FakeBalancer(acks_udp=False, acks_control=False, beat_s=0.005) as balancer, member(balancer):
        await balancer.until(lambda: len(balancer.registrations) == 2)


async def test_drain_is_said_on_the_control_connection_and_in_beats() -> None:
    async with FakeBalancer() as balancer, member(balancer) as membership:
        await membership.registered.wait()
        membership.drain()
        await balancer.until(lambda: ("drain", True) in balancer.told)
        await balancer.until(lambda: bool(balancer.beats) and balancer.beats[-1][1].draining)
        membership.leave()
        await balancer.until(lambda: ("leave", {}) in balancer.told)


async def test_a_drain_by_the_balancer_shows_in_beats_until_it_is_taken_back() -> None:
    async with FakeBalancer() as balancer, member(balancer) as membership:
        await membership.registered.wait()
        balancer.say("drain", True)
        await balancer.until(lambda: bool(balancer.beats) and balancer.beats[-1][1].draining)
        balancer.say("drain", False)
        await balancer.until(lambda: not balancer.beats[-1][1].draining)


async def test_what_the_balancer_refuses_later_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeBalancer() as balancer, member(balancer) as membership:
        await membership.registered.wait()
        balancer.say("refused", Refused("unexpected_message", "not after the lease"))
        await until(lambda: "refuses: " in caplog.text and "not after the lease" in caplog.text)


async def test_lines_that_make_no_sense_end_the_connection_and_a_new_one_is_made() -> None:
    async with FakeBalancer() as balancer, member(balancer) as membership:
        await membership.registered.wait()
        balancer._writers[-1].write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await balancer.until(lambda: len(balancer.registrations) == 2)


async def test_what_has_changed_is_registered_before_the_former_connection_ends() -> None:
    async with FakeBalancer() as balancer, member(balancer) as membership:
        await balancer.until(lambda: bool(balancer.beats))
        membership.register_again(replace(IDENTITY, slots=9))
        await balancer.until(lambda: len(balancer.registrations) == 2)
        assert ("end", None) not in balancer.told
        assert (balancer.registrations[1].slots, balancer.registrations[1].instance) == (9, IDENTITY.instance)
        await balancer.until(lambda: ("end", None) in balancer.told)
        beats = len(balancer.beats)
        await balancer.until(lambda: len(balancer.beats) > beats)


async def test_a_change_that_is_refused_leaves_no_connection_behind() -> None:
    refused = Refused("conflict", "no", retry_after_s=0.01)
    async with FakeBalancer() as balancer, member(balancer) as membership:
        await balancer.until(lambda: bool(balancer.beats))
        balancer.refusals = [refused]
        membership.register_again(replace(IDENTITY, slots=9))
        await balancer.until(lambda: ("end", None) in balancer.told)
        await balancer.until(lambda: len(balancer.registrations) == 3)
