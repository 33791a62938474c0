from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from random import Random
from typing import Any

import pytest

from balancer import tasks
from balancer.admission.aliases import parse_rules
from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.config import Config
from balancer.errors import ConfigError
from balancer.reloader import Reloader
from balancer.rooms import Rooms
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from balancer.upstream.spec import UpstreamSpec, parse_upstream
from tests.balancer.doors.lobby import Lobby

KEYS = KeyTable([ClientKey("alice", digest_of(b"a"))])


def upstreams(*texts: str) -> tuple[UpstreamSpec, ...]:
    return tuple(parse_upstream(text) for text in texts)


class House:
    """The rooms that a reload reaches, and the settings as they would be read."""

    def __init__(self, config: Config) -> None:
        self.lobby = Lobby()
        self.dispatcher = self.lobby.hall.dispatcher
        self.router = Router(make_policy(config.policy), Random(1))
        self.next: Config | ConfigError = config
        self.settled: list[Config] = []
        rooms = Rooms(self.dispatcher, self.router, self.lobby.clients, self.lobby.agents, self.lobby.watch)
        self.reloader = Reloader(config, rooms, self.reread, self.settled.append)

    def reread(self) -> Config:
        if isinstance(self.next, ConfigError):
            raise self.next
        return self.next

    async def reload(self, **changes: Any) -> dict[str, Any]:
        self.next = replace(self.reloader.config, **changes)
        return await self.reloader.reload()

    def names(self) -> set[str]:
        return {member.spec.name for member in self.lobby.hall.registry.members()}

    def looks(self) -> tuple[object, ...]:
        """All that a reload may change."""
        clients, agents = self.lobby.clients, self.lobby.agents
        return (
            self.reloader.config, self.router.policy, self.router.preference, self.dispatcher.rules,
            self.dispatcher.limits, clients.limits, clients.keys,
            agents.token, agents.networks, self.names(), len(self.settled),
        )  # fmt: skip


@contextlib.asynccontextmanager
async def house(config: Config | None = None) -> AsyncIterator[House]:
    found = House(config or Config())
    await found.reloader.start()
    try:
        yield found
    finally:
        await tasks.cancel_all()
        found.lobby.connections.close()


async def test_a_reload_says_what_is_unwise_about_the_new_settings(caplog: pytest.LogCaptureFixture) -> None:
    async with house(Config(keys=KEYS)) as found:
        assert (await found.reload())["warnings"] == []
        (warning,) = (await found.reload(keys=KeyTable()))["warnings"]
        assert "only clients on this machine may ask" in warning and warning in caplog.text


async def test_a_name_without_address_keeps_nothing_else_from_changing() -> None:
    async with house() as found:
        wanted = upstreams("http://127.0.0.1:10", "http://nowhere.invalid:1")
        done = await found.reload(upstream=wanted, policy="round-robin")
        assert done["warnings"] == ["upstream nowhere.invalid:1: no address for nowhere.invalid"]
        assert found.names() == {"127.0.0.1:10", "nowhere.invalid:1"} and found.router.policy.name == "round-robin"


async def test_everything_that_can_change_does() -> None:
    async with house(Config(upstream=upstreams("http://127.0.0.1:8", "http://127.0.0.1:9"))) as found:
        assert found.names() == {"127.0.0.1:8", "127.0.0.1:9"}
        told = await found.reload(
            policy="round-robin", keys=KEYS, token=b"t", backends_from=(ip_network("10.0.0.0/8"),),
            queue_timeout_s=1.0, first_token_timeout_s=2.0, token_timeout_s=3.0, request_timeout_s=4.0,
            models=parse_rules({"gpt-x": "m"}), prefer=(("zone", "a"),), explain=True, hedge=True,
            write_timeout_s=5.0, upstream=upstreams("http://127.0.0.1:9;slots=2", "http://127.0.0.1:10"),
        )  # fmt: skip
        assert found.names() == {"127.0.0.1:9", "127.0.0.1:10"}
        assert told["backends"] == {"added": ["127.0.0.1:10"], "changed": ["127.0.0.1:9"], "removed": ["127.0.0.1:8"]}
        assert {"policy", "keys", "token", "upstream", "write-timeout"} <= set(told["changed"])
        limits, clients, agents = found.dispatcher.limits, found.lobby.clients, found.lobby.agents
        assert (limits.queue_s, limits.first_token_s, limits.between_tokens_s, limits.request_s) == (1, 2, 3, 4)
        assert (clients.limits.write_s, clients.keys, agents.token) == (5.0, KEYS, b"t")
        assert found.router.policy.name == "round-robin" and [str(n) for n in agents.networks] == ["10.0.0.0/8"]
        rules, preferred = found.dispatcher.rules, found.router.preference
        assert rules is not None and set(rules.by_name) == {"gpt-x"} and clients.explains
        assert found.dispatcher.hedging is not None
        assert preferred is not None and preferred.labels == (("zone", "a"),)
        assert found.settled == [found.reloader.config]


async def test_a_policy_that_stays_keeps_its_memory() -> None:
    async with house() as found:
        policy = found.router.policy
        await found.reload(queue_timeout_s=7.0)
        assert found.router.policy is policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 2000, "keys": KEYS, "upstream": upstreams("http://127.0.0.1:10")},
        {"upstream": upstreams("http://127.0.0.1:10;name=gpu-1"), "policy": "round-robin"},
    ],
    ids=["needs a restart", "name is taken"],
)
async def test_if_anything_is_wrong_nothing_changes(wrong: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    async with house(Config(upstream=upstreams("http://127.0.0.1:9"))) as found:
        found.lobby.hall.join("gpu-1")
        before = found.looks()
        with caplog.at_level(logging.ERROR), pytest.raises(ConfigError):
            await found.reload(**wrong)
        assert found.looks() == before
        assert "the old settings stay" in caplog.text


async def test_settings_that_cannot_be_read_change_nothing_and_a_signal_survives_them() -> None:
    async with house() as found:
        before = found.looks()
        found.next = ConfigError("balancer.yaml: not YAML")
        with pytest.raises(ConfigError, match="not YAML"):
            await found.reloader.reload()
        await found.reloader.on_signal()
        assert found.looks() == before


async def test_settings_that_came_from_nowhere_cannot_be_read_again() -> None:
    async with house() as found:
        rooms = Rooms(found.dispatcher, found.router, found.lobby.clients, found.lobby.agents, found.lobby.watch)
        with pytest.raises(ConfigError, match="nowhere"):
            await Reloader(Config(), rooms, None).reload()


async def test_two_reloads_at_once_come_one_after_the_other() -> None:
    async with house() as found:
        found.next = replace(found.reloader.config, upstream=upstreams("http://127.0.0.1:9"))
        told = await asyncio.gather(found.reloader.reload(), found.reloader.reload())
        assert [len(each["backends"]["added"]) for each in told] == [1, 0]
        assert found.names() == {"127.0.0.1:9"}


async def test_what_an_operator_added_by_hand_stays_and_what_he_removed_comes_back() -> None:
    async with house(Config(upstream=upstreams("http://127.0.0.1:9"))) as found:
        await found.lobby.watch.add(parse_upstream("http://127.0.0.1:10"))
        found.lobby.watch.remove("127.0.0.1:9")
        assert found.names() == {"127.0.0.1:10"}
        await found.reload()
        assert found.names() == {"127.0.0.1:9", "127.0.0.1:10"}
