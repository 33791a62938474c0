"""What each policy is good for, held on small seeded simulations: the same seed gives the same numbers everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.simulate import simulate
from scripts.simulate_parts.cluster import Setting
from scripts.simulate_parts.report import Result
from scripts.simulate_parts.workloads import WORKLOADS


def small(name: str, policy: str, rate: float, seconds: float, seed: int = 1) -> Result:
    return simulate(replace(WORKLOADS[name], seconds=seconds), policy, rate, seed)


@pytest.mark.parametrize("policy", ["adaptive", "least-tokens"])
def test_one_that_becomes_ten_times_slower_gets_hardly_anything_within_ten_seconds(policy: str) -> None:
    found = small("slows-10x", policy, 30, 50.0)
    assert found.first < 0.02
    assert found.unanswered == 0


def test_one_that_is_three_times_slower_does_not_make_the_others_late() -> None:
    ours, fewest, turns = (
        small("slow-3x", name, 40, 40.0) for name in ("adaptive", "least-connections", "round-robin")
    )
    assert ours.ttft_p99_s <= fewest.ttft_p99_s
    assert turns.ttft_p99_s >= 5 * ours.ttft_p99_s


def test_prompts_of_very_mixed_length_wait_less_than_where_requests_are_counted() -> None:
    ours, fewest = (small("mixed-lengths", name, 30, 100.0) for name in ("adaptive", "least-connections"))
    assert ours.ttft_p99_s <= 0.65 * fewest.ttft_p99_s
    assert ours.ttft_p50_s <= 0.75 * fewest.ttft_p50_s


def test_growing_chats_keep_their_cache_and_are_dealt_out_evenly() -> None:
    ours, sticky = (small("chats", name, 25, 120.0) for name in ("adaptive", "cache_aware"))
    assert ours.busiest <= 1.3
    assert ours.hit >= 0.85
    assert ours.ttft_p50_s <= sticky.ttft_p50_s
    assert ours.ttft_p99_s <= 0.9 * sticky.ttft_p99_s


def test_prefixes_that_do_not_all_fit_are_computed_less_often_than_by_the_rule_of_others() -> None:
    ours, other = (small("shared-many", name, 42, 200.0, seed=2) for name in ("adaptive", "cache_aware"))
    assert ours.hit >= other.hit
    assert ours.ttft_p50_s <= 0.5 * other.ttft_p50_s
    assert ours.ttft_p90_s <= 0.9 * other.ttft_p90_s
    assert ours.ttft_p99_s <= 0.8 * other.ttft_p99_s


@pytest.mark.parametrize("name", ["mixed-lengths", "chats"])
def test_two_balancers_side_by_side_do_not_herd(name: str) -> None:
    two = replace(WORKLOADS[name], seconds=120.0, setting=Setting(balancers=2))
    found = simulate(two, "adaptive", 25, 1)
    assert found.busiest <= 1.3
    assert found.unanswered == 0


@pytest.mark.parametrize("setting", [Setting(reports=False), Setting(reports=False, balancers=2)])
def test_without_reports_of_load_it_does_no_worse_than_counting_requests(setting: Setting) -> None:
    silent = replace(WORKLOADS["mixed-lengths"], seconds=50.0, setting=setting)
    ours, fewest, drawn = (simulate(silent, name, 28, 1) for name in ("adaptive", "least-connections", "power-of-two"))
    assert ours.ttft_p99_s <= 1.05 * min(fewest.ttft_p99_s, drawn.ttft_p99_s)
    assert ours.ttft_mean_s <= 1.05 * min(fewest.ttft_mean_s, drawn.ttft_mean_s)


@pytest.mark.parametrize("name", ["short", "bursts", "frozen"])
def test_adaptive_is_never_much_worse_than_counting_requests(name: str) -> None:
    ours, fewest = (small(name, policy, 40, 40.0) for policy in ("adaptive", "least-connections"))
    assert ours.ttft_p99_s <= 1.05 * fewest.ttft_p99_s
    assert ours.ttft_mean_s <= 1.05 * fewest.ttft_mean_s


def test_prefixes_that_fit_stay_where_they_are_though_engines_can_hardly_do_it() -> None:
    ours, other = (small("shared", name, 98, 100.0) for name in ("adaptive", "cache_aware"))
    assert ours.hit >= other.hit
    assert ours.ttft_p50_s <= 0.6 * other.ttft_p50_s
    assert ours.ttft_p90_s <= 0.9 * other.ttft_p90_s
    assert ours.ttft_p99_s <= 0.8 * other.ttft_p99_s
