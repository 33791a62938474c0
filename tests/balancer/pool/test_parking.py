from __future__ import annotations

from balancer.pool.ledger import Ledger
from balancer.pool.parking import Parking
from tests.balancer.pool.specs import a_spec


def parked_with_a_lease() -> tuple[Ledger, Parking]:
    ledger = Ledger(2)
    index = ledger.open(a_spec())
    ledger.lease(index)
    parking = Parking(ledger, keep_s=60.0)
    parking.park(index, 100.0)
    return ledger, parking


def test_the_same_process_takes_its_leases_back() -> None:
    ledger, parking = parked_with_a_lease()
    index = parking.take_back(a_spec())
    assert index == 0
    assert ledger.in_flight[0] == 1


def test_it_can_take_them_back_only_once() -> None:
    _, parking = parked_with_a_lease()
    parking.take_back(a_spec())
    assert parking.take_back(a_spec()) is None


def test_another_process_of_that_name_starts_from_nothing() -> None:
    ledger, parking = parked_with_a_lease()
    assert parking.take_back(a_spec(instance="a-2")) is None
    assert ledger.total_in_flight() == 0


def test_a_process_at_another_address_starts_from_nothing() -> None:
    _, parking = parked_with_a_lease()
    assert parking.take_back(a_spec(port=9)) is None


def test_what_is_kept_long_enough_is_closed() -> None:
    ledger, parking = parked_with_a_lease()
    parking.advance(159.9)
    assert ledger.total_in_flight() == 1
    parking.advance(160.0)
    assert ledger.total_in_flight() == 0
    assert parking.take_back(a_spec()) is None


def test_nothing_is_kept_of_a_backend_without_leases_or_without_an_instance() -> None:
    ledger = Ledger(2)
    parking = Parking(ledger, keep_s=60.0)
    parking.park(ledger.open(a_spec()), 100.0)
    nameless = ledger.open(a_spec("b", instance=""))
    ledger.lease(nameless)
    parking.park(nameless, 100.0)
    assert ledger.total_in_flight() == 0
    assert not parking.evict()


def test_the_oldest_makes_room() -> None:
    ledger = Ledger(1)
    index = ledger.open(a_spec())
    ledger.lease(index)
    parking = Parking(ledger, keep_s=60.0)
    parking.park(index, 100.0)
    assert not ledger.has_room
    assert parking.evict()
    assert ledger.has_room
