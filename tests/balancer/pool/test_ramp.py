from __future__ import annotations

import pytest

from balancer.pool.ledger import Ledger
from balancer.pool.ramp import Ramps
from tests.balancer.pool.specs import a_spec


def a_ramp(weight: float = 2.0) -> tuple[Ledger, Ramps]:
    """Begun for index 0, at 100 s: from a tenth, over 30 s."""
    ledger = Ledger(2)
    ledger.open(a_spec(weight=weight))
    ramps = Ramps(ledger, 0.1, 30.0)
    ramps.begin(0, 100.0)
    return ledger, ramps


def test_a_tenth_of_the_weight_grows_to_all_of_it() -> None:
    ledger, ramps = a_ramp(weight=2.0)
    weights = []
    for now in (100.0, 110.0, 115.0, 129.9, 130.0, 200.0):
        ramps.advance(now)
        weights.append(round(ledger.weight[0], 2))
    assert weights == [0.2, 0.8, 1.1, 1.99, 2.0, 2.0]
    assert ramps.until(0) is None


def test_it_is_known_when_it_will_be_over() -> None:
    _, ramps = a_ramp()
    assert (ramps.until(0), ramps.until(1)) == (130.0, None)


def test_it_can_be_ended_at_once() -> None:
    ledger, ramps = a_ramp()
    ramps.end(0)
    ramps.end(1)
    assert ledger.weight[0] == 2.0
    assert ramps.until(0) is None


def test_a_new_registration_of_the_same_process_does_not_end_it() -> None:
    ledger, ramps = a_ramp()
    ledger.resume(0, a_spec(weight=4.0))
    assert ledger.weight[0] == pytest.approx(0.4)
    ramps.advance(115.0)
    assert ledger.weight[0] == pytest.approx(2.2)


def test_a_new_process_has_its_whole_weight() -> None:
    ledger, ramps = a_ramp()
    ledger.restart(0, a_spec(weight=2.0))
    assert ramps.until(0) is None
    ramps.advance(101.0)
    assert ledger.weight[0] == 2.0


def test_time_in_which_nobody_was_asked_does_not_count() -> None:
    ledger, ramps = a_ramp(weight=1.0)
    ramps.advance(115.0)
    ramps.extend(60.0, 175.0)
    ramps.advance(175.0)
    assert (ramps.until(0), ledger.weight[0]) == (190.0, pytest.approx(0.55))
    ramps.extend(1000.0, 180.0)
    ramps.advance(180.0)
    assert ledger.weight[0] == pytest.approx(0.1)
