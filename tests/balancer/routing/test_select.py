from __future__ import annotations

import random

import pytest

from balancer.pool.ledger import ON_TRIAL, SHUT, Lease, Ledger
from balancer.pool.load import Load
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates
from balancer.routing.select import NoBackend, NoBackendReason, NoSlot, Router
from tests.balancer.pool.specs import a_spec, join
from tests.balancer.routing.pools import CHAT, Pool


def a_pool() -> Pool:
    return Pool("least-connections")


def test_choosing_reserves() -> None:
    pool = a_pool()
    pool.add("a", slots=1)
    lease = pool.lease()
    assert pool.ledger.in_flight[lease.index] == 1
    assert pool.route() == NoSlot(None)
    lease.release()
    assert pool.choose() == "a"


def test_a_request_goes_only_where_its_model_is() -> None:
    pool = a_pool()
    pool.add("a", model="m")
    pool.add("b", model="n")
    assert {pool.choose(RouteNeed("n", "chat")) for _ in range(3)} == {"b"}


def test_a_prompt_goes_to_completions_first_and_to_chat_where_those_are_full() -> None:
    pool = a_pool()
    pool.add("chat", endpoints=frozenset({"chat"}))
    pool.add("completions", endpoints=frozenset({"completions"}), slots=1)
    prompt = RouteNeed("m", "completions")
    assert [pool.lease(prompt).spec.name for _ in range(2)] == ["completions", "chat"]


def test_a_suspect_gets_work_only_when_no_alive_one_has_a_slot() -> None:
    pool = a_pool()
    pool.add("suspect", slots=5)
    pool.registry.advance(2.0)
    pool.registry.advance(2.5)
    pool.registry.beat(pool.lease_ids["suspect"], 1, Load(), 2.5)  # an old sequence: no sign of life
    pool.lease_ids["alive"] = join(pool.registry, a_spec("alive", port=9, slots=2), 2.5).lease_id
    pool.registry.beat(pool.lease_ids["alive"], 1, Load(), 2.5)
    assert [pool.lease().spec.name for _ in range(3)] == ["alive", "alive", "suspect"]


def test_a_busy_backend_is_avoided_for_a_while() -> None:
    pool = a_pool()
    pool.add("a", slots=2)
    with pool.lease(now=100.0) as lease:
        pool.ledger.avoid(lease, 101.0)
    assert pool.route(now=100.5) == NoSlot(101.0)
    pool.add("b")
    assert pool.lease(now=100.5).spec.name == "b"
    assert pool.lease(now=101.0).spec.name == "a"


def test_one_that_is_full_and_busy_is_waited_for_by_its_slot() -> None:
    pool = a_pool()
    pool.add("a", slots=1)
    pool.ledger.avoid(pool.lease(now=100.0), 101.0)
    assert pool.route(now=100.5) == NoSlot(None)


def test_an_ejected_backend_gets_nothing_and_it_is_told_when_it_will_be_tried() -> None:
    pool = a_pool()
    pool.add_many(2, slots=1)
    pool.ledger.set_gate(0, SHUT, 130.0)
    assert pool.lease(now=100.0).spec.name == "b1"
    assert pool.route(now=100.0) == NoSlot(130.0)


def test_one_that_is_busy_too_is_asked_again_when_both_are_over() -> None:
    pool = a_pool()
    pool.add_many(2, slots=1)
    pool.ledger.avoid(pool.lease(now=100.0), 150.0)
    pool.remove("b0")
    pool.add("c", slots=1)
    with pool.lease(now=100.0):
        pool.ledger.set_gate(2, SHUT, 130.0)
        assert pool.route(now=100.0) == NoSlot(130.0)
        pool.ledger.busy_until[2] = 140.0
        assert pool.route(now=100.0) == NoSlot(140.0)


def test_a_trial_is_one_request_and_who_comes_next_waits_for_its_end() -> None:
    pool = a_pool()
    pool.add_many(2, slots=1)
    pool.ledger.set_gate(0, ON_TRIAL)
    trial = pool.lease(now=100.0)
    assert (trial.spec.name, trial.is_trial) == ("b0", True)
    pool.ledger.record(0, Load(slots=5))
    assert pool.lease(now=100.0).spec.name == "b1"
    assert pool.route(now=100.0) == NoSlot(None)
    trial.release()
    assert pool.lease(now=100.0).is_trial


def test_in_a_panic_the_ejected_serve_but_not_the_draining() -> None:
    pool = a_pool()
    pool.add_many(4, slots=1)
    pool.registry.drain("b3", 0.0)
    pool.ledger.set_gate(0, SHUT, 130.0)
    pool.ledger.set_gate(1, SHUT, 130.0)
    assert [pool.lease(now=100.0).spec.name for _ in range(3)] == ["b0", "b1", "b2"]
    assert pool.route(now=100.0) == NoSlot(None)


def test_who_is_left_serves_ejected_or_not() -> None:
    pool = a_pool()
    pool.add("small", max_prompt_bytes=10)
    pool.add("large")
    pool.ledger.set_gate(1, SHUT, 130.0)
    assert pool.lease(RouteNeed("m", "chat", 10), now=100.0).spec.name == "small"
    assert pool.lease(RouteNeed("m", "chat", 11), now=100.0).spec.name == "large"


def test_a_model_that_only_dead_joining_or_draining_backends_offer_is_unavailable() -> None:
    pool = a_pool()
    pool.add("draining")
    pool.registry.drain("draining", 0.0)
    join(pool.registry, a_spec("joining", port=9))
    assert pool.route() == NoBackend(NoBackendReason.UNAVAILABLE)


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        (RouteNeed("n", "chat"), NoBackendReason.UNKNOWN_MODEL),
        (RouteNeed("m", "embeddings"), NoBackendReason.WRONG_ENDPOINT),
        (RouteNeed("m", "chat", 988), NoBackendReason.PROMPT_TOO_LONG),
        (RouteNeed("m", "chat", 987, frozenset({"a a-1"})), NoBackendReason.EXCLUDED),
    ],
)
def test_the_reason_is_told_when_nobody_can_ever_take_it(need: RouteNeed, reason: NoBackendReason) -> None:
    pool = a_pool()
    pool.add("a", max_prompt_bytes=987)
    assert pool.route(need) == NoBackend(reason)


def test_an_empty_pool_says_so() -> None:
    assert a_pool().route() == NoBackend(NoBackendReason.EMPTY_POOL)


def test_a_full_backend_counts_against_no_backend_but_an_excluded_one_does_not() -> None:
    pool = a_pool()
    pool.add("a", slots=1)
    pool.add("b", slots=1)
    pool.lease()
    pool.lease()
    assert pool.route(RouteNeed("m", "chat", exclude=frozenset({"a a-1"}))) == NoSlot(None)
    assert pool.route(CHAT) == NoSlot(None)


class Listener:
    """A policy that takes the first, and writes down what it is told."""

    name = "listener"
    wants_blocks = True

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def choose(self, candidates: Candidates, *_: object) -> int:
        return int(candidates[0])

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        self.told.append(("leased", lease, need, now))

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        self.told.append(("first_token", lease, now))

    def failed(self, lease: Lease, ledger: Ledger, now: float) -> None:
        self.told.append(("failed", lease, now))

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        self.told.append(("ended", lease, now))

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        self.told.append(("beat", index, now))


def test_a_policy_that_wants_to_know_is_told_what_becomes_of_its_choices() -> None:
    pool, policy = a_pool(), Listener()
    pool.router = Router(policy, random.Random(0))
    pool.add("a", slots=1)
    lease = pool.lease(CHAT, 1.0)
    pool.first_token(lease, 2.0)
    pool.router.failed(lease, pool.ledger, 2.5)
    pool.end(lease, 3.0)
    pool.beat("a", Load(), 4.0)
    assert policy.told == [
        ("leased", lease, CHAT, 1.0),
        ("first_token", lease, 2.0),
        ("failed", lease, 2.5),
        ("ended", lease, 3.0),
        ("beat", 0, 4.0),
    ]
    assert pool.router.wants_blocks


def test_nothing_is_told_where_nobody_was_chosen() -> None:
    pool, policy = a_pool(), Listener()
    pool.router = Router(policy, random.Random(0))
    pool.add("a", slots=1)
    pool.lease()
    policy.told.clear()
    assert pool.route() == NoSlot(None)
    assert not policy.told


@pytest.mark.parametrize("policy", ["round-robin", "least-tokens", "session"])
def test_prompts_are_hashed_only_for_who_wants_it(policy: str) -> None:
    assert not Pool(policy).router.wants_blocks
    assert Pool("prefix-affinity").router.wants_blocks
