from __future__ import annotations

from balancer.pool.stall import StallWatch


def test_ticks_in_time_are_no_stall() -> None:
    watch = StallWatch(0.25)
    assert [watch.tick(now) for now in (100.0, 100.25, 100.75, 101.0)] == [0.0, 0.0, 0.0, 0.0]


def test_a_gap_of_more_than_two_ticks_is_a_stall_as_a_whole() -> None:
    watch = StallWatch(0.25)
    watch.tick(100.0)
    assert watch.tick(115.0) == 15.0
    assert watch.tick(115.25) == 0.0
