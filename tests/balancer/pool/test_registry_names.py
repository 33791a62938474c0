"""Whose a name and an address are: restarts, lost connections, newcomers."""

from __future__ import annotations

import pytest

from balancer.pool.backend import ModelInfo, State
from balancer.pool.registry import Registry
from balancer.pool.transition import BeatStatus, Reason, Refused
from tests.balancer.pool.moments import advance, changes, state
from tests.balancer.pool.specs import READY, a_spec, join, join_alive


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
