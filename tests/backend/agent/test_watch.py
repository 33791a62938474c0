from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agent.watch import FAILURES_MAX, EngineWatch
from backend.engines.base import EngineLoad
from balancer.wire import engine_metrics


def metrics(running: int = 1, waiting: int = 0, *progress: float) -> engine_metrics.EngineLoad:
    return engine_metrics.EngineLoad("vllm", running, waiting, None, progress)


def test_ready_from_the_start_and_without_load_where_there_are_no_metrics() -> None:
    assert EngineWatch(0.0).load(99.0) == EngineLoad()
    assert EngineWatch(0.0).known_load is None


def test_the_load_is_what_was_told_last() -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(3, 2), 1.0)
    assert watch.load(2.0) == EngineLoad(running=3, waiting=2)
    assert watch.known_load == 5
    watch.unmeasured()
    assert watch.load(2.0) == EngineLoad()


@pytest.mark.parametrize(
    ("usage", "tokens", "told"),
    [
        (0.25, 16_000, (4000, 16_000)),
        (0.25, 0, (engine_metrics.KV_TOKENS_ASSUMED // 4, engine_metrics.KV_TOKENS_ASSUMED)),
        (None, 16_000, (0, 0)),
    ],
)
def test_the_use_of_the_kv_cache_is_told_in_tokens(usage: float | None, tokens: int, told: tuple[int, int]) -> None:
    watch = EngineWatch(0.0)
    watch.measured(engine_metrics.EngineLoad("vllm", 3, 2, usage, (), tokens), 1.0)
    load = watch.load(2.0)
    assert (load.kv_tokens_used, load.kv_tokens_total) == told


def test_one_missed_answer_is_no_verdict_two_are_and_one_answer_ends_it() -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(3), 0.0)
    for n in range(FAILURES_MAX):
        assert watch.load(n).ready
        watch.failed()
    assert watch.load(9.0) == EngineLoad(ready=False)
    watch.answered()
    assert watch.load(9.0).ready


def test_an_engine_that_came_back_starts_from_nothing() -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(1, 0, 5.0), 0.0)
    for _ in range(FAILURES_MAX):
        watch.failed()
    watch.began_anew(100.0)
    assert watch.load(101.0) == EngineLoad()
    watch.measured(metrics(1, 0, 5.0), 102.0)
    assert not watch.load(103.0).stuck


@pytest.mark.parametrize("work", [(1, 0), (0, 1)], ids=["running", "waiting"])
def test_work_without_progress_for_ten_seconds_is_stuck(work: tuple[int, int]) -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(*work, 7.0), 50.0)
    for now in range(51, 60):
        watch.measured(metrics(*work, 7.0), float(now))
    assert not watch.load(59.5).stuck
    assert watch.load(60.0).stuck
    watch.measured(metrics(*work, 8.0), 61.0)
    assert watch.load(62.0).ms_since_step == 1000


def test_metrics_that_do_not_come_any_more_are_no_progress() -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(1, 0, 7.0), 0.0)
    assert watch.load(10.0).stuck


def test_time_without_work_does_not_count() -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(0, 0, 7.0), 0.0)
    assert not watch.load(1000.0).stuck
    watch.measured(metrics(1, 0, 7.0), 1000.0)
    assert watch.load(1001.0).ms_since_step == 1000


def test_an_engine_without_counters_is_never_stuck() -> None:
    watch = EngineWatch(0.0)
    watch.measured(metrics(4, 4), 0.0)
    assert not watch.load(1000.0).stuck


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0.01, 5.0)), min_size=1, max_size=40))
def test_stuck_only_after_ten_seconds_of_the_same_reading(readings: list[tuple[int, int, float]]) -> None:
    watch, now, since, last = EngineWatch(0.0), 0.0, 0.0, (-1, -1)
    for running, tokens, gap_s in readings:
        if (running, tokens) != last or running == 0:
            since, last = now, (running, tokens)
        watch.measured(metrics(running, 0, float(tokens)), now)
        now += gap_s
        assert watch.load(now).stuck == (running > 0 and int(1000 * (now - since)) >= 10_000)
