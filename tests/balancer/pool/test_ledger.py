from __future__ import annotations

import math

import pytest

from balancer.pool.ledger import IN_SERVICE, ON_TRIAL, SHUT, Ledger, SlotsTaken
from balancer.pool.load import Load
from tests.balancer.pool.specs import a_spec


def a_ledger(slots: int = 2, capacity: int = 4) -> Ledger:
    """With one backend, at index 0."""
    ledger = Ledger(capacity)
    assert ledger.open(a_spec(slots=slots)) == 0
    return ledger


def test_a_lease_takes_a_slot_and_its_release_gives_it_back() -> None:
    ledger = a_ledger()
    lease = ledger.lease(0)
    assert (ledger.in_flight[0], lease.spec.name) == (1, "a")
    lease.release()
    assert ledger.in_flight[0] == 0


def test_releasing_twice_gives_back_once() -> None:
    ledger = a_ledger()
    other, lease = ledger.lease(0), ledger.lease(0)
    lease.release()
    lease.release()
    assert ledger.in_flight[0] == 1
    assert (lease.released, other.released) == (True, False)


def test_a_lease_releases_itself_when_its_block_ends_in_an_error() -> None:
    ledger = a_ledger()
    with pytest.raises(ConnectionError), ledger.lease(0):
        raise ConnectionError
    assert ledger.in_flight[0] == 0


def test_leases_never_exceed_the_slots_unless_forced() -> None:
    ledger = a_ledger(slots=2)
    ledger.lease(0)
    ledger.lease(0)
    with pytest.raises(SlotsTaken):
        ledger.lease(0)
    ledger.lease(0, force=True)
    assert ledger.in_flight[0] == 3


def test_nobody_gets_a_lease_where_there_is_no_backend() -> None:
    with pytest.raises(SlotsTaken):
        a_ledger().lease(1, force=True)


def test_a_lease_on_a_restarted_backend_is_not_current_and_releases_without_effect() -> None:
    ledger = a_ledger()
    stale = ledger.lease(0)
    ledger.restart(0, a_spec(instance="a-2"))
    fresh = ledger.lease(0)
    stale.release()
    assert (stale.current, fresh.current) == (False, True)
    assert ledger.in_flight[0] == 1


def test_a_lease_on_a_backend_whose_index_another_uses_now_releases_without_effect() -> None:
    ledger = a_ledger(capacity=1)
    stale = ledger.lease(0)
    ledger.close(0)
    assert ledger.open(a_spec("b")) == 0
    ledger.lease(0)
    stale.release()
    assert ledger.in_flight[0] == 1


def test_a_resumed_registration_keeps_what_is_in_flight() -> None:
    ledger = a_ledger(slots=2)
    lease = ledger.lease(0)
    ledger.resume(0, a_spec(slots=8, weight=3.0))
    assert (ledger.in_flight[0], ledger.slots[0], ledger.weight[0]) == (1, 8, 3.0)
    assert lease.current


def test_a_freed_slot_is_told_once() -> None:
    ledger = a_ledger(slots=1)
    freed: list[int] = []
    ledger.on_free = freed.append
    lease = ledger.lease(0)
    lease.release()
    lease.release()
    assert freed == [0]


def test_a_release_that_leaves_a_backend_full_frees_no_slot() -> None:
    ledger = a_ledger(slots=1)
    freed: list[int] = []
    ledger.on_free = freed.append
    ledger.lease(0)
    ledger.lease(0, force=True).release()
    assert freed == []


def test_a_stale_release_frees_no_slot() -> None:
    ledger = a_ledger()
    lease = ledger.lease(0)
    ledger.restart(0, a_spec())
    freed: list[int] = []
    ledger.on_free = freed.append
    lease.release()
    assert freed == []


def test_the_freed_slot_can_be_leased_within_the_call_that_tells_of_it() -> None:
    ledger = a_ledger(slots=1)
    first = ledger.lease(0)
    ledger.on_free = ledger.lease
    first.release()
    assert ledger.in_flight[0] == 1


def test_a_beat_with_more_slots_frees_some() -> None:
    ledger = a_ledger(slots=1)
    freed: list[int] = []
    ledger.on_free = freed.append
    ledger.lease(0)
    ledger.record(0, Load(slots=1))
    assert freed == []
    ledger.record(0, Load(slots=3))
    assert (freed, ledger.slots[0]) == ([0], 3)


def test_a_beat_with_fewer_slots_than_leases_stops_new_ones() -> None:
    ledger = a_ledger(slots=2)
    ledger.lease(0)
    ledger.lease(0)
    ledger.record(0, Load(slots=1))
    assert (ledger.slots[0], ledger.in_flight[0]) == (1, 2)
    with pytest.raises(SlotsTaken):
        ledger.lease(0)


def test_a_beat_that_does_not_tell_its_slots_changes_none() -> None:
    ledger = a_ledger(slots=2)
    ledger.record(0, Load(running=7, slots=0))
    assert ledger.slots[0] == 2


def test_what_a_beat_reports_stands_in_the_arrays() -> None:
    ledger = a_ledger()
    ledger.record(0, Load(1, 2, 3, 4, 5, 6, 7, 8.5, 9))
    reported = (
        ledger.slots[0],
        ledger.prefill_running[0],
        ledger.prefill_waiting[0],
        ledger.kv_used[0],
        ledger.kv_total[0],
    )
    assert reported == (3, 4, 5, 6, 7)


def test_an_absurd_report_is_cut_to_what_fits() -> None:
    ledger = a_ledger()
    ledger.record(0, Load(kv_tokens_used=2**64 - 1, kv_tokens_total=2**64 - 1))
    assert ledger.kv_used[0] == 2**63 - 1


def test_a_busy_answer_is_remembered_until_its_end_and_not_by_a_successor() -> None:
    ledger = a_ledger()
    lease = ledger.lease(0)
    ledger.avoid(lease, 105.0)
    assert (ledger.busy_until[0], ledger.busy_horizon) == (105.0, 105.0)
    ledger.restart(0, a_spec())
    assert ledger.busy_until[0] == 0.0
    ledger.avoid(lease, 200.0)
    assert ledger.busy_until[0] == 0.0


def test_numpy_sees_the_same_memory() -> None:
    ledger = a_ledger(slots=2)
    ledger.lease(0)
    assert ledger.in_flight_np[:2].tolist() == [1, 0]
    assert (ledger.slots_np[0], ledger.weight_np[0], ledger.busy_until_np[0]) == (2, 1.0, 0.0)
    assert ledger.total_in_flight() == 1


def test_a_full_ledger_says_so() -> None:
    ledger = a_ledger(capacity=1)
    assert not ledger.has_room
    with pytest.raises(IndexError):
        ledger.open(a_spec("b"))
    ledger.close(0)
    assert ledger.has_room


def test_gates_that_are_not_in_service_are_counted() -> None:
    ledger = a_ledger()
    counted = []
    for gate in (SHUT, ON_TRIAL, SHUT, IN_SERVICE, IN_SERVICE):
        ledger.set_gate(0, gate, 130.0)
        counted.append(ledger.gated)
    assert counted == [1, 1, 1, 0, 0]


def test_on_trial_one_lease_shuts_the_gate_until_it_is_released() -> None:
    ledger = a_ledger()
    ledger.set_gate(0, ON_TRIAL)
    trial = ledger.lease(0)
    assert (trial.is_trial, ledger.gate[0], ledger.shut_until[0]) == (True, SHUT, math.inf)
    other = ledger.lease(0)
    assert not other.is_trial
    other.release()
    assert ledger.gate[0] == SHUT
    assert (ledger.decides(trial), ledger.decides(other)) == (True, False)
    trial.release()
    assert (ledger.gate[0], ledger.shut_until[0], ledger.in_flight[0]) == (ON_TRIAL, 0.0, 0)


def test_a_trial_that_was_decided_opens_no_gate() -> None:
    ledger = a_ledger()
    ledger.set_gate(0, ON_TRIAL)
    trial = ledger.lease(0)
    ledger.set_gate(0, SHUT, 160.0)
    assert not ledger.decides(trial)
    trial.release()
    assert (ledger.gate[0], ledger.shut_until[0]) == (SHUT, 160.0)


def test_a_new_process_has_its_gate_open_and_the_trial_of_the_old_decides_nothing() -> None:
    ledger = a_ledger()
    ledger.set_gate(0, ON_TRIAL)
    trial = ledger.lease(0)
    ledger.restart(0, a_spec())
    trial.release()
    assert (ledger.gate[0], ledger.gated, ledger.decides(trial)) == (IN_SERVICE, 0, False)
    ledger.set_gate(0, SHUT, 160.0)
    ledger.close(0)
    assert ledger.gated == 0


def test_a_share_of_the_weight_lasts_through_a_resumed_registration() -> None:
    ledger = a_ledger()
    ledger.set_share(0, 0.1)
    ledger.resume(0, a_spec(weight=3.0))
    assert ledger.weight[0] == pytest.approx(0.3)
    ledger.restart(0, a_spec(weight=3.0))
    assert (ledger.weight[0], ledger.share[0]) == (3.0, 1.0)
