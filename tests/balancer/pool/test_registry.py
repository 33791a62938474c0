from __future__ import annotations

import math

import pytest

from balancer.pool.backend import ModelInfo, State
from balancer.pool.detector import PASSIVE
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import BeatStatus, Reason, Refused, Registered, Transition
from tests.balancer.pool.specs import READY, a_spec, join, join_alive


def advance(registry: Registry, start: float, end: float) -> list[Transition]:
    """Tick every 0.25 s from `start` to `end`, both included."""
    ticks = round((end - start) / 0.25)
    return [t for tick in range(ticks + 1) for t in registry.advance(start + tick * 0.25)]


def changes(transitions: tuple[Transition, ...] | list[Transition]) -> list[tuple[str, State | None, Reason]]:
    return [(t.name, t.new, t.reason) for t in transitions]


def state(registry: Registry, name: str) -> State | None:
    return next((backend.state for backend in registry.view.backends if backend.spec.name == name), None)


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
    member = registry.lease(answer.lease_id)
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


def test_a_hundred_restarts_are_one_backend_of_one_weight_with_nothing_in_flight() -> None:
    registry = Registry()
    for number in range(100):
        joined = join_alive(registry, a_spec(instance=f"run-{number}", weight=2.0))
        registry.ledger.lease(joined.index)
        assert registry.ledger.total_in_flight() == 1
    assert len(registry.view.backends) == 1
    assert registry.ledger.weight_np.sum() == 2.0


def test_a_restart_ends_the_exchanges_of_the_process_before() -> None:
    registry = Registry()
    before = join_alive(registry, a_spec(instance="run-1"))
    lease = registry.ledger.lease(before.index)
    after = join(registry, a_spec(instance="run-2"))
    (restarted,) = after.transitions
    assert (restarted.old, restarted.new, restarted.reason) == (
        State.ALIVE,
        State.JOINING,
        Reason.RESTARTED,
    )
    assert restarted.ends_exchanges
    assert (restarted.index, restarted.generation) == (lease.index, lease.generation)
    assert restarted.lease_id == after.superseded == before.lease_id
    lease.release()
    assert registry.ledger.in_flight[after.index] == 0


def test_the_same_process_on_a_new_connection_keeps_its_state_and_its_leases() -> None:
    registry = Registry()
    before = join_alive(registry, a_spec())
    lease = registry.ledger.lease(before.index)
    after = join(registry, a_spec(), 1.0)
    assert (after.transitions, after.index) == ((), before.index)
    assert (before.superseded, after.superseded) == (None, before.lease_id)
    assert state(registry, "a") is State.ALIVE
    assert (registry.ledger.in_flight[after.index], lease.current) == (1, True)
    assert registry.beat(before.lease_id, 2, READY, 1.1).status is BeatStatus.UNKNOWN_LEASE
    assert registry.beat(after.lease_id, 0, READY, 1.1).status is BeatStatus.ACCEPTED


def test_the_end_of_a_superseded_connection_takes_nobody_out() -> None:
    registry = Registry()
    before = join_alive(registry, a_spec())
    join(registry, a_spec(), 1.0)
    assert registry.leave(before.lease_id, 1.1) == ()
    assert state(registry, "a") is State.ALIVE


def test_the_same_process_returning_from_the_dead_joins() -> None:
    registry = Registry()
    join_alive(registry, a_spec())
    advance(registry, 0.25, 10.0)
    assert changes(join(registry, a_spec(), 10.0).transitions) == [("a", State.JOINING, Reason.REGISTERED)]


def test_new_models_of_the_same_process_are_in_the_view_at_once() -> None:
    registry = Registry()
    join_alive(registry, a_spec())
    assert "n" not in registry.view.models()
    join(registry, a_spec(models=(ModelInfo("m"), ModelInfo("n"))), 1.0)
    assert "n" in registry.view.models()


def test_a_name_stays_with_its_first_address_until_that_is_dead_for_the_reclaim_time() -> None:
    registry = Registry(reclaim_s=30.0)
    first = join_alive(registry, a_spec(port=1))
    rival = a_spec(port=2, instance="rival")
    refused = registry.register(rival, 1.0)
    assert isinstance(refused, Refused)
    assert refused.code == "conflict"
    assert state(registry, "a") is State.ALIVE
    advance(registry, 0.25, 3.5)
    refused = registry.register(rival, 33.4)
    assert isinstance(refused, Refused)
    assert refused.retry_after_s == pytest.approx(0.1)
    joined = join(registry, rival, 33.5)
    assert changes(joined.transitions) == [
        ("a", None, Reason.RECLAIMED),
        ("a", State.JOINING, Reason.REGISTERED),
    ]
    assert registry.beat(first.lease_id, 2, READY, 33.6).status is BeatStatus.UNKNOWN_LEASE


def test_a_name_is_free_at_once_after_a_leave() -> None:
    registry = Registry()
    first = join_alive(registry, a_spec(port=1))
    assert changes(registry.leave(first.lease_id, 1.0)) == [("a", None, Reason.LEFT)]
    assert registry.view.backends == ()
    assert changes(join(registry, a_spec(port=2), 1.0).transitions) == [("a", State.JOINING, Reason.REGISTERED)]


def test_one_engine_is_not_counted_twice_under_two_names() -> None:
    registry = Registry()
    join_alive(registry, a_spec("a", port=1))
    assert isinstance(registry.register(a_spec("b", port=1), 1.0), Refused)
    advance(registry, 0.25, 4.0)
    joined = join(registry, a_spec("b", port=1), 4.0)
    assert changes(joined.transitions)[0] == ("a", None, Reason.RECLAIMED)
    assert [backend.spec.name for backend in registry.view.backends] == ["b"]


def test_a_newcomer_can_push_out_a_dead_name_and_a_dead_address_at_once() -> None:
    registry = Registry()
    join_alive(registry, a_spec("a", port=1))
    join_alive(registry, a_spec("b", port=2))
    advance(registry, 0.25, 40.0)
    joined = join(registry, a_spec("a", port=2), 40.0)
    assert [t.name for t in joined.transitions] == ["a", "b", "a"]
    assert len(registry.view.backends) == 1


def test_one_url_may_be_configured_twice() -> None:
    registry = Registry()
    join(registry, a_spec("first-key", kind="upstream", port=1))
    join(registry, a_spec("second-key", kind="upstream", port=1))
    assert len(registry.view.backends) == 2


def test_the_leases_of_a_lost_connection_count_again_when_the_same_process_returns() -> None:
    registry = Registry()
    first = join_alive(registry, a_spec())
    lease = registry.ledger.lease(first.index)
    registry.leave(first.lease_id, 1.0)
    again = join(registry, a_spec(), 2.0)
    assert registry.ledger.in_flight[again.index] == 1
    lease.release()
    assert registry.ledger.in_flight[again.index] == 0


def test_the_leases_of_a_lost_connection_are_forgotten_after_a_minute() -> None:
    registry = Registry(forget_s=60.0)
    first = join_alive(registry, a_spec())
    registry.ledger.lease(first.index)
    registry.leave(first.lease_id, 1.0)
    registry.advance(60.9)
    assert registry.ledger.total_in_flight() == 1
    registry.advance(61.0)
    assert registry.ledger.total_in_flight() == 0


def test_a_full_pool_refuses_and_keeps_who_is_in_it() -> None:
    registry = Registry(max_backends=1)
    first = join_alive(registry, a_spec("a"))
    refused = registry.register(a_spec("b"), 1.0)
    assert isinstance(refused, Refused)
    assert refused.code == "pool_full"
    registry.ledger.lease(first.index)
    registry.leave(first.lease_id, 2.0)
    join(registry, a_spec("b"), 3.0)


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
    member = registry.lease(lease_id)
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
