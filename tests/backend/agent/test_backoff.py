from __future__ import annotations

from random import Random

from backend.agent.backoff import RECONNECT_CAP_S, RECONNECT_FIRST_S, Backoff


def test_the_first_try_comes_quickly_and_waits_double_up_to_the_cap() -> None:
    backoff = Backoff(0.1, 5.0, Random(1))
    upper_s = 0.1
    for _ in range(12):
        assert 0.5 * upper_s <= backoff.next_s() <= upper_s
        upper_s = min(5.0, 2 * upper_s)


def test_two_backends_that_lost_the_same_balancer_come_back_at_different_times() -> None:
    one, two = Backoff(1, 5, Random(1)), Backoff(1, 5, Random(2))
    assert one.next_s() != two.next_s()


def test_after_success_it_begins_from_the_beginning() -> None:
    backoff = Backoff(RECONNECT_FIRST_S, RECONNECT_CAP_S, Random(1))
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= RECONNECT_FIRST_S


def test_a_balancer_that_is_back_after_two_seconds_is_found_within_three_more() -> None:
    for seed in range(50):
        backoff, now_s = Backoff(RECONNECT_FIRST_S, RECONNECT_CAP_S, Random(seed)), 0.0
        while now_s < 2.0:
            now_s += backoff.next_s()
        assert now_s < 5.0
