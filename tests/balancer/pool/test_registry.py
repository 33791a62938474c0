"""Who is in the pool, and what beats, silence and operators make of it."""

from __future__ import annotations

import math

import pytest

from balancer.pool.backend import State
from balancer.pool.detector import PASSIVE
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import BeatStatus, Reason, Refused, Registered, Transition
from tests.balancer.pool.moments import advance, changes, state
from tests.balancer.pool.specs import READY, a_spec, join, join_alive


def test_a_backend_joins_and_lives_from_its_first_ready_beat_on() -> None:
    registry = Registry(first_lease_id=500)
    joined = join(registry, a_spec())
    assert (joined.lease_id, joined.index, joined.superseded) == (500, 0, None)
    assert joined.transitions == (Transition("a", 0, 1, 500, None, State.JOINING, Reason.REGISTERED),)
    beat = registry.beat(500, 1, READY, 0.5)
    assert beat.status is BeatStatus.ACCEPTED
    assert changes(beat.transitions) == [("a", State.ALIVE, Reason.READY)]


def test_the_view_is_the_same_object_until_a_state_changes() -> None:
    registry = Registry()
    lease_id = join_alive(registry, a_spec()).lease_id
    view = registry.view
    registry.beat(lease_id, 2, READY, 1.0)
    assert registry.view is view
    registry.beat(lease_id, 3, Load(ready=False), 2.0)
    assert registry.view.version > view.version
    assert state(registry, "a") is State.JOINING


def test_what_the_caller_needs_for_a_beat_is_found_by_its_lease() -> None:
    registry = Registry()
    answer = registry.register(a_spec(), 3.0, key=b"secret")
    assert isinstance(answer, Registered)
    registry.beat(answer.lease_id, 9, Load(running=2), 4.0)
    member = registry.member(answer.lease_id)
    assert member is not None
    assert (member.key, member.sequence, member.beats, member.heard_at) == (b"secret", 9, 1, 4.0)
    assert member.load == Load(running=2)
    assert registry.named("a") is member
    assert list(registry.members()) == [member]


@pytest.mark.parametrize("sequence", [0, 4, 5])
def test_a_beat_whose_sequence_does_not_grow_is_no_sign_of_life(sequence: int) -> None:
    registry = Registry()
    lease_id = join(registry, a_spec()).lease_id
    registry.beat(lease_id, 5, READY, 0.0)
    result = registry.beat(lease_id, sequence, Load(ready=False), 2.0)
    assert (result.status, result.transitions) == (BeatStatus.STALE_SEQUENCE, ())
    assert changes(advance(registry, 2.0, 2.5)) == [("a", State.SUSPECT, Reason.SILENT)]


def test_a_beat_of_an_unknown_lease_changes_nothing() -> None:
    registry = Registry()
    assert registry.beat(99, 1, READY, 0.0).status is BeatStatus.UNKNOWN_LEASE
    assert registry.heard(99, 0.0) == registry.probe_ok(99, 0.0) == registry.probe_failed(99, 0.0) == ()
    registry.hold(99)
    registry.unhold(99, 0.0)
    assert registry.leave(99, 0.0) == ()


def test_a_silent_backend_is_out_within_three_and_a_half_beats_and_back_with_its_next() -> None:
    registry = Registry()
    lease_id = join_alive(registry, a_spec()).lease_id
    assert changes(advance(registry, 0.25, 3.25)) == [("a", State.SUSPECT, Reason.SILENT)]
    assert changes(advance(registry, 3.5, 20.0)) == [("a", State.DEAD, Reason.SILENT)]
    assert changes(registry.beat(lease_id, 2, READY, 20.1).transitions) == [("a", State.ALIVE, Reason.READY)]


def test_a_stuck_engine_keeps_its_streams_and_gets_no_new_work() -> None:
    registry = Registry()
    lease_id = join_alive(registry, a_spec()).lease_id
    (stuck,) = registry.beat(lease_id, 2, Load(running=1, ms_since_step=10_000), 1.0).transitions
    assert (stuck.new, stuck.reason, stuck.ends_exchanges) == (State.JOINING, Reason.NOT_READY, False)


def test_a_balancer_that_stood_still_evicts_nobody() -> None:
    registry = Registry()
    leases = [join_alive(registry, a_spec(name)).lease_id for name in "abc"]
    advance(registry, 0.25, 1.0)
    assert registry.advance(16.0) == ()
    assert registry.stall_s == 15.0
    for lease_id in leases:
        assert registry.beat(lease_id, 2, READY, 16.2).transitions == ()
    assert advance(registry, 16.25, 18.0) == []
    assert registry.stall_s == 0.0


def test_after_its_own_stall_the_balancer_still_finds_the_dead() -> None:
    registry = Registry()
    join_alive(registry, a_spec())
    advance(registry, 0.25, 1.0)
    registry.advance(16.0)
    assert changes(advance(registry, 16.25, 19.0))[-1] == ("a", State.DEAD, Reason.SILENT)


def test_a_stall_does_not_shorten_how_long_a_dead_backend_keeps_its_name() -> None:
    registry = Registry(reclaim_s=30.0)
    join_alive(registry, a_spec(port=1))
    advance(registry, 0.25, 5.0)
    registry.advance(45.0)
    assert isinstance(registry.register(a_spec(port=2), 45.0), Refused)


def test_a_dead_lease_is_forgotten_after_a_minute() -> None:
    registry = Registry(forget_s=60.0)
    lease_id = join_alive(registry, a_spec()).lease_id
    assert advance(registry, 0.25, 63.25)[-1].new is State.DEAD
    assert changes(advance(registry, 63.5, 63.5)) == [("a", None, Reason.FORGOTTEN)]
    assert registry.beat(lease_id, 2, READY, 64.0).status is BeatStatus.UNKNOWN_LEASE


def test_a_configured_backend_is_never_forgotten() -> None:
    registry = Registry()
    lease_id = join(registry, a_spec(kind="upstream")).lease_id
    for _ in range(3):
        registry.probe_failed(lease_id, 1.0)
    advance(registry, 1.0, 100.0)
    assert state(registry, "a") is State.DEAD
    assert changes(registry.probe_ok(lease_id, 100.0)) == [("a", State.ALIVE, Reason.READY)]


def test_a_probed_backend_is_out_after_three_failures_in_a_row() -> None:
    registry = Registry()
    lease_id = join(registry, a_spec(kind="upstream")).lease_id
    registry.probe_ok(lease_id, 0.0, Load(running=3))
    member = registry.member(lease_id)
    assert member is not None
    assert (member.load, state(registry, "a")) == (Load(running=3), State.ALIVE)
    found = [changes(registry.probe_failed(lease_id, at)) for at in (2.0, 4.0, 6.0)]
    assert found == [[], [("a", State.SUSPECT, Reason.PROBES_FAILED)], [("a", State.DEAD, Reason.PROBES_FAILED)]]


def test_timings_may_be_given() -> None:
    registry = Registry()
    answer = registry.register(a_spec(kind="upstream"), 0.0, timings=PASSIVE)
    assert isinstance(answer, Registered)
    assert changes(answer.transitions) == [("a", State.ALIVE, Reason.REGISTERED)]
    assert registry.deadline() == math.inf


def test_a_classic_backend_may_be_silent_while_an_answer_is_awaited() -> None:
    registry = Registry()
    lease_id = join(registry, a_spec(kind="classic", instance="")).lease_id
    registry.hold(lease_id)
    assert advance(registry, 0.25, 30.0) == []
    registry.unhold(lease_id, 30.0)
    assert registry.heard(lease_id, 32.0) == ()
    assert changes(advance(registry, 30.25, 42.0)) == [
        ("a", State.SUSPECT, Reason.SILENT),
        ("a", State.DEAD, Reason.SILENT),
    ]


def test_an_operator_drains_and_takes_it_back() -> None:
    registry = Registry()
    join_alive(registry, a_spec())
    assert changes(registry.drain("a", 1.0)) == [("a", State.DRAINING, Reason.DRAIN)]
    assert registry.drain("a", 1.0) == ()
    assert changes(registry.undrain("a", 2.0)) == [("a", State.ALIVE, Reason.UNDRAIN)]
    with pytest.raises(KeyError):
        registry.drain("nobody", 1.0)
    with pytest.raises(KeyError):
        registry.undrain("nobody", 1.0)


def test_a_drain_outlasts_a_lost_connection_but_not_a_restart() -> None:
    registry = Registry()
    join_alive(registry, a_spec(instance="run-1"))
    registry.drain("a", 1.0)
    noticed_late = join(registry, a_spec(instance="run-1"), 2.0)
    assert state(registry, "a") is State.DRAINING
    registry.leave(noticed_late.lease_id, 3.0)
    join_alive(registry, a_spec(instance="run-1"), 4.0)
    assert state(registry, "a") is State.DRAINING
    join_alive(registry, a_spec(instance="run-2"), 5.0)
    assert state(registry, "a") is State.ALIVE


def test_an_agent_drains_itself_by_its_beats() -> None:
    registry = Registry()
    lease_id = join_alive(registry, a_spec()).lease_id
    leaving = registry.beat(lease_id, 2, Load(draining=True), 1.0)
    assert changes(leaving.transitions) == [("a", State.DRAINING, Reason.DRAIN)]
    staying = registry.beat(lease_id, 3, READY, 2.0)
    assert changes(staying.transitions) == [("a", State.ALIVE, Reason.UNDRAIN)]


def test_the_deadline_is_when_time_can_next_change_something() -> None:
    registry = Registry()
    assert registry.deadline() == math.inf
    join_alive(registry, a_spec(), 100.0)
    assert registry.deadline() == 102.5
    registry.advance(102.5)
    assert registry.deadline() == 103.5
    registry.advance(103.0)
    registry.advance(103.5)
    assert registry.deadline() == 163.5


def test_a_model_is_remembered_when_its_last_backend_is_gone() -> None:
    registry = Registry(model_memory_s=600.0)
    lease_id = join(registry, a_spec(model="m")).lease_id
    registry.leave(lease_id, 10.0)
    assert registry.model_seen("m", 610.0)
    assert not registry.model_seen("m", 611.0)
    assert not registry.model_seen("n", 10.0)
