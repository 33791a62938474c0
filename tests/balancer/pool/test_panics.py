from __future__ import annotations

from balancer.pool.ledger import ON_TRIAL, SHUT
from balancer.pool.panics import Panic, PanicWatch
from balancer.pool.registry import Registry
from tests.balancer.pool.specs import a_spec, join_alive


def a_pool() -> tuple[Registry, PanicWatch]:
    """Three backends of the model m, one of the model n."""
    registry = Registry()
    for name, model in (("a", "m"), ("b", "m"), ("c", "m"), ("d", "n")):
        join_alive(registry, a_spec(name, model=model))
    return registry, PanicWatch(registry.ledger)


def test_a_panic_begins_when_more_than_half_are_ejected_and_is_told_once() -> None:
    registry, watch = a_pool()
    registry.ledger.set_gate(0, SHUT, 130.0)
    assert watch.look(registry.view) == ([], [])
    registry.ledger.set_gate(1, ON_TRIAL)
    assert watch.look(registry.view) == ([Panic("m", 2, 3)], [])
    assert watch.look(registry.view) == ([], [])


def test_it_is_over_when_enough_are_back() -> None:
    registry, watch = a_pool()
    registry.ledger.set_gate(3, SHUT, 130.0)
    assert watch.look(registry.view) == ([Panic("n", 1, 1)], [])
    registry.ledger.set_gate(3, 0)
    assert watch.look(registry.view) == ([], ["n"])
    assert watch.look(registry.view) == ([], [])


def test_only_those_who_could_serve_are_counted() -> None:
    registry, watch = a_pool()
    registry.ledger.set_gate(0, SHUT, 130.0)
    registry.drain("b", 0.0)
    assert watch.look(registry.view) == ([], [])
    registry.drain("c", 0.0)
    assert watch.look(registry.view) == ([Panic("m", 1, 1)], [])


def test_a_model_that_nobody_offers_any_more_is_in_no_panic() -> None:
    registry, watch = a_pool()
    registry.ledger.set_gate(3, SHUT, 130.0)
    watch.look(registry.view)
    member = registry.named("d")
    assert member is not None
    registry.leave(member.lease_id, 0.0)
    assert watch.look(registry.view) == ([], ["n"])
