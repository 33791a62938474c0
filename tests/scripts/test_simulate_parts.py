"""The simulator: that its model is what it says, and that one seed is one result."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from balancer.routing.policies import POLICIES
from scripts.simulate import COMPARED, simulate
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.cluster import Cluster, Setting
from scripts.simulate_parts.engine import CHUNK_TOKENS, DECODE_S, PREFILL_TOKENS_PER_S, STEP_S, Engine
from scripts.simulate_parts.kv_cache import KvCache
from scripts.simulate_parts.report import jain, quantile
from scripts.simulate_parts.request import BLOCK_TOKENS, Ask, Asked, Run, routed_blocks, runs_of
from scripts.simulate_parts.workloads import WORKLOADS, Text, Workload


class Solo:
    """One engine, and what it did."""

    def __init__(self, slowness: float = 1.0) -> None:
        self.clock = Clock()
        self.first: list[Asked] = []
        self.done: list[Asked] = []
        self.engine = Engine(self.clock, self.first.append, self.done.append, slowness)

    def ask(self, prompt: int, answer: int, text: Text | None = None) -> Asked:
        asked = Asked((text or Text(len(self.done) + 7)).ask("a", prompt, answer), self.clock.now)
        self.engine.ask(asked)
        return asked


def test_one_request_takes_what_the_constants_say() -> None:
    solo = Solo()
    asked = solo.ask(1000, 11)
    solo.clock.run(10.0)
    assert asked.first_at == pytest.approx(STEP_S + 1000 / PREFILL_TOKENS_PER_S)
    assert asked.ended_at - asked.first_at == pytest.approx(10 * (STEP_S + DECODE_S))
    assert asked.itl_s == pytest.approx(STEP_S + DECODE_S)


def test_a_long_prompt_is_computed_in_chunks_between_which_others_get_tokens() -> None:
    solo = Solo()
    short = solo.ask(16, 400)
    solo.clock.run(1.0)
    long = solo.ask(3 * CHUNK_TOKENS, 2)
    solo.clock.run(10.0)
    assert long.ttft_s == pytest.approx(3 * (STEP_S + DECODE_S) + 3 * CHUNK_TOKENS / PREFILL_TOKENS_PER_S, abs=0.01)
    assert solo.done == [long, short]


def test_a_beginning_that_is_in_the_cache_is_not_computed_again() -> None:
    solo = Solo()
    text = Text(1)
    solo.ask(1600, 160, text)
    solo.clock.run(10.0)
    second = solo.ask(160, 10, text)
    solo.clock.run(20.0)
    assert second.cached_tokens == 1760
    assert second.ttft_s == pytest.approx(STEP_S + 160 / PREFILL_TOKENS_PER_S)


def test_a_slow_engine_takes_as_many_times_as_long() -> None:
    fast, slow = Solo(), Solo(3.0)
    one, other = fast.ask(1000, 50), slow.ask(1000, 50)
    fast.clock.run(20.0)
    slow.clock.run(20.0)
    assert other.ended_at == pytest.approx(3 * one.ended_at)


def test_what_is_cancelled_ends_nowhere_and_leaves_nothing() -> None:
    solo = Solo()
    asked, other = solo.ask(1000, 50), solo.ask(500, 50)
    solo.clock.run(0.3)
    solo.engine.cancel(asked)
    solo.clock.run(10.0)
    assert solo.done == [other]
    assert solo.engine.load(9).kv_tokens_used == 0


def test_memory_is_shared_and_the_oldest_end_is_forgotten_first() -> None:
    cache = KvCache(10)
    assert cache.take(runs_of([1, 2, 3, 4]), 2) == 0
    assert cache.take(runs_of([1, 2, 3, 5]), 1) == 3
    assert cache.used == 8
    assert cache.take(runs_of([7, 8, 9]), 0) is None
    cache.give_back(runs_of([1, 2, 3, 4]), 2, runs_of([1, 2, 3, 4, 6]))
    cache.give_back(runs_of([1, 2, 3, 5]), 1, ())
    assert cache.used == 0
    assert cache.take(runs_of([20, 21, 22, 23, 24, 25]), 0) == 0
    assert [cache.matched(runs_of(blocks)) for blocks in ([1, 2, 3, 4, 6], [1, 2, 3, 5])] == [3, 4]


def test_runs_of_blocks_are_kept_as_their_blocks_would_be() -> None:
    """Random prompts and growing texts, told in runs to one cache and block by block to the other."""
    rng = random.Random(3)
    by_runs, by_blocks = KvCache(200), KvCache(200)
    lengths: Counter[int] = Counter()
    open_ones: list[tuple[tuple[Run, ...], tuple[Run, ...], int]] = []
    for _ in range(1500):
        if open_ones and rng.random() < 0.5:
            runs, then, private = open_ones.pop(rng.randrange(len(open_ones)))
            by_runs.give_back(runs, private, then)
            by_blocks.give_back(one_by_one(runs), private, one_by_one(then))
            continue
        key, shared = rng.choice([key for key in range(40) if lengths[key] < 40][:12]), Run(100 + rng.randrange(3), 20)
        if any(run.key == key for runs, _, _ in open_ones for run in runs):
            continue  # the next turn comes when the one before is answered
        lengths[key] += rng.randint(1, 3)
        runs = (shared, Run(key, lengths[key]))
        private, then = rng.randrange(3), (shared, Run(key, lengths[key] + 1))
        took = by_runs.take(runs, private)
        assert took == by_blocks.take(one_by_one(runs), private)
        assert by_runs.used == by_blocks.used <= 200
        if took is not None:
            open_ones.append((runs, then, private))


def one_by_one(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    return tuple(Run(key << 24 | at, 1) for key, blocks in runs for at in range(blocks))


def test_a_text_that_grows_keeps_its_blocks() -> None:
    text = Text(5, 2, 10 * BLOCK_TOKENS)
    first = text.ask("a", 100, 40)
    second = text.ask("a", 20, 40)
    assert first.prompt_tokens == 260 and first.blocks == (Run(2, 10), Run(first.blocks[1][0], 6))
    assert first.then == (first.blocks[0], Run(first.blocks[1][0], 8))
    assert second.blocks == (Run(2, 10), Run(first.blocks[1][0], 10))
    other = Text(6, 2, 10 * BLOCK_TOKENS).ask("a", 100, 1)
    assert other.blocks[0] == first.blocks[0] and other.blocks[1] != first.blocks[1]


def test_routing_sees_every_64_tokens_with_all_before_them() -> None:
    first = Text(5, 2, 10 * BLOCK_TOKENS).ask("a", 100, 40)
    assert routed_blocks(runs_of(first.blocks)) == [
        2 << 24 | 3,
        2 << 24 | 7,
        runs_of(first.blocks)[1].key << 24 | 1,
        runs_of(first.blocks)[1].key << 24 | 5,
    ]
    assert routed_blocks(runs_of(range(100, 110))) == [103 << 24, 107 << 24]


def test_requests_of_a_frozen_engine_are_answered_by_others() -> None:
    clock = Clock()
    cluster = Cluster(clock, POLICIES["least-connections"](), Setting((1.0, 1.0)), random.Random(1))
    clock.run(1.0)
    for number in range(10):
        cluster.ask(Ask("a", "", 800, 100, Text(number).ask("a", 800, 100).blocks))
    cluster.freeze(0)
    clock.run(20.0)
    assert len(cluster.ended) == 10
    assert {asked.backend for asked in cluster.ended} == {1}


def test_quantiles_and_fairness_are_what_their_names_say() -> None:
    assert quantile(list(range(100)), 0.9) == 90
    assert jain([1.0, 1.0, 1.0]) == 1.0
    assert jain([1.0, 0.0, 0.0, 0.0]) == 0.25


@pytest.mark.parametrize("policy", sorted(COMPARED))
def test_one_seed_is_one_result(policy: str) -> None:
    brief = Workload("chats", WORKLOADS["chats"].plan, (10,), seconds=12.0)
    results = [simulate(brief, policy, 10, seed) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]
    assert results[0].requests > 10 and results[0].unanswered == 0


@pytest.mark.parametrize("name", sorted(WORKLOADS.keys() - {"thousand"}))
def test_every_workload_can_be_run(name: str) -> None:
    workload = WORKLOADS[name]
    brief = Workload(workload.about, workload.plan, workload.rates, workload.setting, seconds=6.0)
    found = simulate(brief, "adaptive", min(workload.rates[0], 100.0), 1)
    assert found.requests > 10 and found.unanswered == 0
    assert 0.0 <= found.hit <= 1.0 and found.ttft_p50_s > 0.0


def test_there_may_be_a_thousand_engines() -> None:
    clock = Clock()
    cluster = Cluster(clock, POLICIES["adaptive"](), WORKLOADS["thousand"].setting, random.Random(1))
    WORKLOADS["thousand"].plan(cluster, random.Random(1), 1000.0, 2.0)
    clock.run(8.0)
    assert len(cluster.ended) == len(cluster.begun) > 1500
    assert len({asked.backend for asked in cluster.ended}) > 900
