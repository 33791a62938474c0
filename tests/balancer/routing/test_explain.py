from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from balancer.pool.ledger import ON_TRIAL, SHUT, Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.explain import HEADER_MAX_BYTES, WHYS, Eligible, Explanation, Filtered, explain
from balancer.routing.need import RouteNeed
from balancer.routing.policies import POLICIES
from balancer.routing.policy import Candidates, Parts
from balancer.routing.prefer import preference
from tests.balancer.routing.pools import CHAT, Pool


def told(pool: Pool, need: RouteNeed = CHAT, now: float = 0.0, **changes: Any) -> Explanation:
    return explain(pool.router, pool.registry.view, pool.ledger, need, now, **changes)


def whys(found: Explanation) -> dict[str, str]:
    return {one.name: one.why for one in found.filtered}


def index(pool: Pool, name: str) -> int:
    member = pool.registry.named(name)
    assert member is not None
    return member.index


@pytest.mark.parametrize("policy", POLICIES)
def test_it_changes_nothing_and_agrees_with_the_choice(policy: str) -> None:
    one, other = Pool(policy), Pool(policy)
    for pool in (one, other):
        pool.add_many(5, slots=2)
    for _ in range(8):
        found = told(one)
        chosen = one.lease().spec.name
        assert chosen == other.lease().spec.name
        assert chosen in [eligible.name for eligible in found.eligible]
        assert found.policy == policy and found.choice in (None, chosen)


def test_each_reason_has_its_word() -> None:
    pool = Pool("least-connections")
    pool.add("good")
    pool.add("other-model", model="n")
    pool.add("embeds", endpoints=frozenset({"embeddings"}))
    pool.add("converts", endpoints=frozenset({"completions"}))
    pool.add("full", slots=1)
    pool.add("short", max_prompt_bytes=10)
    pool.add("failed")
    pool.add("leaving")
    pool.add("ejected")
    pool.add("tried")
    pool.add("busy")
    ledger, registry = pool.ledger, pool.registry
    ledger.lease(index(pool, "full"))
    registry.drain("leaving", 0.0)
    ledger.set_gate(index(pool, "ejected"), SHUT, 12.5)
    ledger.set_gate(index(pool, "tried"), ON_TRIAL)
    trial, busy = ledger.lease(index(pool, "tried")), ledger.lease(index(pool, "busy"))
    ledger.avoid(busy, 3.0)
    failed = registry.named("failed")
    assert failed is not None
    need = replace(CHAT, prompt_bytes=20, exclude=frozenset({failed.spec.process}))
    found = told(pool, need, 1.0)
    assert [one.name for one in found.eligible] == ["good"] and found.choice == "good"
    assert whys(found) == {
        "other-model": "model", "embeds": "endpoint", "converts": "converted", "full": "slots", "short": "prompt",
        "failed": "failed", "leaving": "draining", "ejected": "breaker", "tried": "breaker", "busy": "busy",
    }  # fmt: skip
    assert set(whys(found).values()) <= set(WHYS)
    details = {one.name: one.detail for one in found.filtered}
    assert (details["full"], details["ejected"], details["tried"]) == ("1 of 1", "11.5 s", "on trial")
    trial.release()


def test_suspects_and_who_is_not_preferred_wait_for_the_others() -> None:
    pool = Pool("least-connections")
    pool.router.preference = preference([("zone", "a")])
    for name, labels in (("near", (("zone", "a"),)), ("far", ()), ("silent", (("zone", "a"),))):
        pool.add(name, labels=labels)
    now = 2.6
    for name in ("near", "far"):
        pool.registry.heard(pool.lease_ids[name], now)
    pool.registry.advance(0.1)
    for tick in range(1, 11):
        pool.registry.advance(tick * 0.26)
    found = told(pool, now=now)
    assert [one.name for one in found.eligible] == ["near"]
    assert whys(found) == {"far": "label", "silent": "suspect"}


def test_nobody_can_be_chosen_where_nobody_may() -> None:
    pool = Pool("least-connections")
    pool.add("a", slots=1)
    pool.lease()
    found = told(pool)
    assert (found.eligible, found.choice, whys(found)) == ([], None, {"a": "slots"})
    assert told(pool, if_any=True).filtered == []


def test_one_that_is_eased_in_says_so() -> None:
    pool = Pool("round-robin")
    pool.add("a")
    pool.add("b")
    pool.ledger.set_share(index(pool, "b"), 0.25)
    told_of = {one["name"]: one for one in told(pool).as_dict()["eligible"]}
    assert told_of["b"]["ramp"] == 0.25 and "ramp" not in told_of["a"]


class Weighs:
    """A policy whose costs are its backends' leases."""

    name = "weighs"

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        return min((int(index) for index in candidates), key=lambda index: ledger.in_flight[index])

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        return [{"leases": float(n), "cost": n / 3} for n in (ledger.in_flight[index] for index in candidates)]


def test_the_least_cost_is_the_choice_unless_it_is_shared() -> None:
    pool = Pool("least-connections")
    pool.router.policy = Weighs()
    pool.add_many(2)
    assert told(pool).choice is None
    lease = pool.lease()
    found = told(pool)
    assert found.choice is not None and found.choice != lease.spec.name
    assert [one.score for one in found.eligible] == [{"leases": 0.0, "cost": 0.0}, {"leases": 1.0, "cost": 0.3333}]


def test_a_header_is_ascii_and_bounded_and_begins_with_the_choice() -> None:
    found = Explanation("least-tokens", "modèle", "chat", choice="b399")
    found.eligible = [Eligible(f"b{n}", 0, 4, 1.0, 1.0, {"cost": float(n)}) for n in range(400)]
    found.filtered = [Filtered(f"é{n}", "slots", "4 of 4") for n in range(400)]
    header = found.header()
    assert header.isascii() and "\n" not in header and len(header) <= HEADER_MAX_BYTES
    read = json.loads(header)
    assert read["eligible"][0]["name"] == "b399" and read["model"] == "modèle"
    assert read["more"] + len(read["eligible"]) + len(read["filtered"]) == 800
    small = Explanation("random", "m", "chat", filtered=[Filtered("é", "dead")])
    assert json.loads(small.header()) == small.as_dict() and "more" not in small.as_dict()
