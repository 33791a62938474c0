from __future__ import annotations

import math

import pytest

from balancer.pool.backend import State
from balancer.pool.detector import CLASSIC, NATIVE, PASSIVE, PROBED, TABLE, Detector, Event, of_beats

JOINING, ALIVE, SUSPECT, DEAD, DRAINING = State


def alive(at: float = 100.0) -> Detector:
    detector = Detector(NATIVE, at)
    detector.hear(True, at)
    return detector


def state_at(detector: Detector, now: float) -> State:
    detector.advance(now)
    return detector.state


@pytest.mark.parametrize("state", State)
def test_every_state_knows_what_a_sign_of_life_means(state: State) -> None:
    for event in (Event.READY, Event.UNREADY, Event.REGISTERED):
        assert TABLE[state, event] is not DEAD


@pytest.mark.parametrize("state", [JOINING, ALIVE, SUSPECT, DRAINING])
def test_every_living_state_can_be_doubted_and_die(state: State) -> None:
    assert TABLE[state, Event.MISSED] is not DEAD
    assert TABLE[state, Event.EXPIRED] is DEAD


def test_what_cannot_happen_is_not_in_the_table() -> None:
    assert (DEAD, Event.EXPIRED) not in TABLE
    assert (ALIVE, Event.UNDRAIN) not in TABLE


def test_a_newcomer_gets_no_work_before_its_first_ready_beat() -> None:
    detector = Detector(NATIVE, 100.0)
    assert detector.state is JOINING
    detector.hear(False, 101.0)
    assert detector.state is JOINING
    detector.hear(True, 102.0)
    assert detector.state is ALIVE


def test_two_missed_beats_make_it_suspect_and_three_dead() -> None:
    detector = alive(at=100.0)
    assert state_at(detector, 102.4) is ALIVE
    assert detector.deadline() == 102.5
    assert state_at(detector, 102.5) is SUSPECT
    assert detector.deadline() == 103.5
    assert state_at(detector, 103.4) is SUSPECT
    assert state_at(detector, 103.5) is DEAD
    assert detector.deadline() == math.inf


def test_the_timings_scale_with_the_beat_interval() -> None:
    timings = of_beats(0.1)
    assert timings.suspect_after_s == pytest.approx(0.25)
    assert timings.dead_after_s == pytest.approx(0.35)


def test_a_late_look_finds_it_dead_at_once() -> None:
    assert state_at(alive(at=100.0), 200.0) is DEAD


def test_a_newcomer_that_never_beats_dies_too() -> None:
    detector = Detector(NATIVE, 100.0)
    assert state_at(detector, 103.0) is JOINING
    assert state_at(detector, 103.5) is DEAD


def test_a_beat_clears_suspicion() -> None:
    detector = alive(at=100.0)
    detector.advance(102.5)
    detector.hear(True, 102.6)
    assert detector.state is ALIVE
    assert detector.deadline() == pytest.approx(105.1)


def test_a_beat_brings_the_dead_back() -> None:
    detector = alive(at=100.0)
    detector.advance(110.0)
    detector.hear(True, 111.0)
    assert detector.state is ALIVE


def test_a_stuck_engine_gets_no_new_work_though_it_beats() -> None:
    detector = alive()
    detector.hear(False, 101.0)
    assert detector.state is JOINING
    detector.hear(True, 102.0)
    assert detector.state is ALIVE


def test_draining_outlasts_beats_and_silence_but_not_death() -> None:
    detector = alive(at=100.0)
    detector.operator_drains(True)
    detector.hear(True, 101.0)
    assert detector.state is DRAINING
    assert state_at(detector, 103.5) is DRAINING
    assert state_at(detector, 104.5) is DEAD


def test_a_drained_backend_that_died_comes_back_draining() -> None:
    detector = alive(at=100.0)
    detector.operator_drains(True)
    detector.advance(110.0)
    assert detector.drains
    detector.hear(True, 111.0)
    assert detector.state is DRAINING


def test_a_dead_backend_can_be_drained_before_it_comes_back() -> None:
    detector = alive(at=100.0)
    detector.advance(110.0)
    detector.operator_drains(True)
    assert detector.state is DEAD
    detector.hear(True, 111.0)
    assert detector.state is DRAINING


def test_undrain_restores_what_was_last_said_of_readiness() -> None:
    ready = alive()
    ready.operator_drains(True)
    ready.operator_drains(False)
    assert ready.state is ALIVE
    unready = alive()
    unready.hear(False, 101.0)
    unready.operator_drains(True)
    unready.operator_drains(False)
    assert unready.state is JOINING


def test_undrain_of_one_that_is_not_draining_changes_nothing() -> None:
    detector = alive()
    detector.operator_drains(False)
    assert detector.state is ALIVE


def test_the_agent_and_the_operator_each_take_back_only_their_own_drain() -> None:
    detector = alive()
    detector.operator_drains(True)
    detector.agent_drains(True)
    detector.operator_drains(False)
    assert detector.state is DRAINING
    detector.agent_drains(False)
    assert detector.state is ALIVE


def test_our_own_stall_moves_the_deadline_but_never_beyond_now() -> None:
    detector = alive(at=100.0)
    detector.extend(15.0, 115.5)
    assert detector.heard_at == 115.0
    detector.extend(15.0, 116.0)
    assert detector.heard_at == 116.0


def test_registering_again_is_a_sign_of_life_but_not_of_readiness() -> None:
    detector = alive(at=100.0)
    detector.advance(110.0)
    detector.registered_again(111.0)
    assert detector.state is JOINING
    assert detector.deadline() == 114.5


def test_registering_again_leaves_a_live_backend_in_service() -> None:
    detector = alive(at=100.0)
    detector.registered_again(102.0)
    assert detector.state is ALIVE
    assert detector.deadline() == 104.5


def test_a_probed_backend_is_out_after_three_failures_in_a_row() -> None:
    detector = Detector(PROBED, 100.0)
    detector.hear(True, 100.0)
    states = []
    for _ in range(4):
        detector.fail()
        states.append(detector.state)
    assert states == [ALIVE, SUSPECT, DEAD, DEAD]


def test_an_answered_probe_starts_the_count_anew() -> None:
    detector = Detector(PROBED, 100.0)
    for _ in range(5):
        detector.fail()
        detector.fail()
        detector.hear(True, 100.0)
    assert detector.state is ALIVE


def test_silence_means_nothing_for_a_probed_or_a_passive_backend() -> None:
    for timings in (PROBED, PASSIVE):
        detector = Detector(timings, 100.0)
        detector.hear(True, 100.0)
        assert detector.deadline() == math.inf
        assert state_at(detector, 1e9) is ALIVE


def test_undrain_does_not_trust_a_backend_whose_probes_fail() -> None:
    detector = Detector(PROBED, 100.0)
    detector.hear(True, 100.0)
    detector.operator_drains(True)
    detector.fail()
    detector.fail()
    detector.operator_drains(False)
    assert detector.state is JOINING


def test_a_passive_backend_is_alive_from_the_start() -> None:
    assert Detector(PASSIVE, 100.0).state is ALIVE


def test_a_classic_backend_is_alive_from_the_start_and_out_after_ten_seconds_of_silence() -> None:
    detector = Detector(CLASSIC, 100.0)
    assert state_at(detector, 107.4) is ALIVE
    assert state_at(detector, 109.9) is SUSPECT
    assert state_at(detector, 110.0) is DEAD


def test_the_silence_of_a_classic_backend_counts_only_while_no_answer_is_awaited() -> None:
    detector = Detector(CLASSIC, 100.0)
    detector.hold()
    detector.hold()
    assert detector.deadline() == math.inf
    assert state_at(detector, 160.0) is ALIVE
    detector.unhold(160.0)
    assert state_at(detector, 190.0) is ALIVE
    detector.unhold(190.0)
    assert detector.deadline() == 197.5
    assert state_at(detector, 200.0) is DEAD


def test_an_unhold_too_many_is_no_sign_of_life() -> None:
    detector = Detector(CLASSIC, 100.0)
    detector.unhold(105.0)
    assert detector.heard_at == 100.0
