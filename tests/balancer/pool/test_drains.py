from __future__ import annotations

from balancer.pool.drains import DRAINS_MAX, Drains
from tests.balancer.pool.specs import a_spec


def test_a_wish_is_remembered_for_the_same_process() -> None:
    drains = Drains()
    drains.ask(a_spec(instance="run-1"))
    assert drains.wanted(a_spec(instance="run-1"))
    assert drains.wanted(a_spec(instance="run-1"))
    assert not drains.wanted(a_spec("b", instance="run-1"))


def test_another_process_of_that_name_ends_the_wish() -> None:
    drains = Drains()
    drains.ask(a_spec(instance="run-1"))
    assert not drains.wanted(a_spec(instance="run-2"))
    assert not drains.wanted(a_spec(instance="run-1"))


def test_a_process_that_cannot_be_told_from_its_successor_is_not_drained_again() -> None:
    drains = Drains()
    drains.ask(a_spec(instance=""))
    assert not drains.wanted(a_spec(instance=""))


def test_a_wish_can_be_taken_back() -> None:
    drains = Drains()
    drains.ask(a_spec())
    drains.take_back(a_spec())
    assert not drains.wanted(a_spec())
    drains.take_back(a_spec())


def test_the_number_of_wishes_is_bounded() -> None:
    drains = Drains()
    for number in range(DRAINS_MAX + 1):
        drains.ask(a_spec(f"b{number}", instance="x"))
    assert not drains.wanted(a_spec("b0", instance="x"))
    assert drains.wanted(a_spec("b1", instance="x"))
