from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.agent.beats import BLOCKED_AFTER_MISSED, LOST_AFTER_BEATS, BeatPlan, Due, beat
from backend.engines.base import EngineLoad


def test_the_first_beat_goes_at_once_and_then_one_each_interval() -> None:
    plan = BeatPlan(1.0, now=10.0)
    assert plan.due(10.0) == Due(1)
    plan.acked(1, by_udp=True)
    assert plan.due(10.9) is None
    assert plan.wait_s(10.9) == 11.0 - 10.9
    assert plan.due(11.0) == Due(2)


def test_a_beat_whose_predecessor_was_not_acknowledged_goes_both_ways_the_datagram_with_the_higher_number() -> None:
    plan = BeatPlan(1.0, now=0.0)
    plan.due(0.0)
    assert plan.due(1.0) == Due(3, control=2)


def test_one_lost_datagram_costs_one_copy_and_no_more() -> None:
    plan = BeatPlan(1.0, now=0.0)
    plan.due(0.0)
    due = plan.due(1.0)
    assert due is not None
    plan.acked(due.datagram, by_udp=True)
    assert plan.due(2.0) == Due(4)
    assert plan.missed == 0


def test_udp_counts_as_blocked_after_three_in_a_row_and_not_when_the_control_connection_acknowledges() -> None:
    plan = BeatPlan(1.0, now=0.0)
    plan.due(0.0)
    for second in range(1, BLOCKED_AFTER_MISSED + 1):
        assert not plan.blocked
        due = plan.due(float(second))
        assert due is not None
        assert due.control is not None
        plan.acked(due.control, by_udp=False)
    assert plan.blocked
    assert not plan.lost


def test_udp_is_back_with_the_first_datagram_that_is_acknowledged() -> None:
    plan = BeatPlan(1.0, now=0.0)
    for second in range(6):
        due = plan.due(float(second))
    assert due is not None
    assert plan.blocked
    plan.acked(due.datagram, by_udp=True)
    assert plan.due(6.0) == Due(due.datagram + 1)
    assert not plan.blocked


def test_an_acknowledgement_that_comes_a_beat_late_does_not_count_for_the_next_one() -> None:
    plan = BeatPlan(1.0, now=0.0)
    plan.due(0.0)
    plan.due(1.0)
    plan.acked(1, by_udp=True)
    plan.due(2.0)
    assert plan.missed == 2
    assert plan.unheard == 1


def test_a_balancer_that_acknowledges_on_no_way_is_lost_but_not_before_it_could_have_stood_still_15_s() -> None:
    plan = BeatPlan(1.0, now=0.0)
    for second in range(LOST_AFTER_BEATS):
        assert not plan.lost
        plan.due(float(second))
    assert plan.lost
    assert LOST_AFTER_BEATS > 15


def test_after_a_pause_of_our_own_one_beat_goes_not_all_that_were_missed() -> None:
    plan = BeatPlan(1.0, now=0.0)
    plan.due(0.0)
    assert plan.due(100.0) is not None
    assert plan.due(100.0) is None
    assert plan.unheard == 2


def test_what_was_never_sent_is_not_acknowledged() -> None:
    plan = BeatPlan(1.0, now=0.0)
    plan.due(0.0)
    plan.acked(0, by_udp=True)
    plan.acked(99, by_udp=True)
    assert plan.unheard == 1


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["none", "udp", "control"])), max_size=60))
def test_sequence_numbers_only_grow_and_no_gap_between_beats_exceeds_the_interval(
    script: list[tuple[float, str]],
) -> None:
    plan, now, highest, last = BeatPlan(1.0, now=0.0), 0.0, 0, 0.0
    for elapsed_s, answer in script:
        now += min(elapsed_s, plan.wait_s(now))  # a loop that wakes when it should
        due = plan.due(now)
        if due is None:
            continue
        assert now - last <= 1.0 + 1e-9
        last = now
        for sequence in (due.control, due.datagram):
            if sequence is not None:
                assert sequence == highest + 1
                highest = sequence
        if answer != "none":
            plan.acked(due.datagram if answer == "udp" else due.control or 0, by_udp=answer == "udp")


def test_a_beat_tells_the_load() -> None:
    load = EngineLoad(1, 2, 3, 4, 5, 6, 7.5, 8)
    told = beat(load, 9, slots=10, draining=True)
    assert (told.sequence, told.slots, told.draining, told.ready) == (9, 10, True, True)
    assert (told.running, told.waiting, told.prefill_tokens_running, told.prefill_tokens_waiting) == (1, 2, 3, 4)
    assert (told.kv_tokens_used, told.kv_tokens_total, told.tokens_per_s, told.ms_since_step) == (5, 6, 7.5, 8)


def test_work_without_a_step_for_10_s_is_not_ready() -> None:
    assert beat(EngineLoad(running=1, ms_since_step=9_999), 1, slots=1, draining=False).ready
    assert not beat(EngineLoad(running=1, ms_since_step=10_000), 1, slots=1, draining=False).ready
    assert not beat(EngineLoad(waiting=1, ms_since_step=10_000), 1, slots=1, draining=False).ready
