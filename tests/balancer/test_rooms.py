from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import ip_network
from random import Random

from balancer.admission.aliases import parse_rules
from balancer.admission.keys import KeyTable
from balancer.config import Config
from balancer.reload_plan import RELOADED
from balancer.rooms import Rooms, client_limits, exchange_limits
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from tests.balancer.doors.lobby import Lobby

ELSEWHERE = frozenset({"upstream", "tls", "classic_from", "drain_timeout_s"})
"""Settings that a reload changes in no room: the pool, the doors and the drain take them from the settings."""
OTHERS = Config(
    backends_from=(ip_network("10.0.0.0/8"),), default_model="m", explain=True, hedge=True, keys=KeyTable(),
    models=parse_rules({"x": "m"}), policy="round-robin", prefer=(("zone", "a"),), queue_bytes=4, queue_size=5,
    token=b"t", body_timeout_s=1, first_token_timeout_s=2, head_timeout_s=3, queue_timeout_s=6, request_timeout_s=7,
    token_timeout_s=8, write_timeout_s=9,
)  # fmt: skip
"""Every setting that reaches a room, unlike its default."""


def rooms() -> Rooms:
    lobby = Lobby()
    router = Router(make_policy("adaptive"), Random(1))
    found = Rooms(lobby.hall.dispatcher, router, lobby.clients, lobby.agents, lobby.watch)
    found.apply(Config())
    return found


def looks(found: Rooms) -> list[object]:
    """All that `Rooms.apply` may change; what is equal looks equal."""
    dispatcher, router, clients, agents = found.dispatcher, found.router, found.clients, found.agents
    return [
        (router.policy.name, router.preference.labels if router.preference is not None else None),
        (dispatcher.limits, dispatcher.default_model, dispatcher.rules, dispatcher.hedging is None),
        (dispatcher.queue._max_waiters, dispatcher.queue._max_bytes),
        (clients.limits, clients.keys, clients.explains),
        (agents.token, agents.networks),
    ]


async def test_every_setting_that_a_reload_may_change_reaches_a_room() -> None:
    for name in sorted(RELOADED - ELSEWHERE):
        found = rooms()
        before = looks(found)
        found.apply(replace(Config(), **{name: getattr(OTHERS, name)}))
        assert looks(found) != before, name
    assert {f.name for f in fields(Config)} >= RELOADED


async def test_settings_applied_again_change_nothing_and_a_policy_keeps_its_memory() -> None:
    found = rooms()
    found.apply(OTHERS)
    before, policy, hedging = looks(found), found.router.policy, found.dispatcher.hedging
    found.apply(OTHERS)
    assert looks(found) == before and found.router.policy is policy and found.dispatcher.hedging is hedging


def test_limits_are_those_of_the_settings() -> None:
    config = Config(queue_timeout_s=1, write_timeout_s=2, head_timeout_s=3, body_timeout_s=4)
    assert exchange_limits(config).queue_s == 1
    limits = client_limits(config)
    assert (limits.write_s, limits.line_s, limits.body_s) == (2, 3, 4)
