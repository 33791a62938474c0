"""A flight's seats: each is told what the others are told, as its own."""

from __future__ import annotations

from balancer.errors import Failure
from balancer.exchange.flight import Flight
from balancer.exchange.outcome import Opening, Outcome
from balancer.wire.continuation import Begun
from tests.fakes import RecordingSink, text_events

OPENING = Opening("gpu-1", "miss", 2)


class Leader:
    def __init__(self) -> None:
        self.told: list[str] = []

    def cut(self, failure: Failure) -> None:
        self.told.append(failure.code)

    def abandoned(self) -> None:
        self.told.append("abandoned")


class Passenger:
    def __init__(self, ends_at: float = 1.0) -> None:
        self.ends_at = ends_at
        self.told: list[str] = []

    def began(self) -> None:
        self.told.append("began")

    def arrived(self, outcome: Outcome) -> None:
        self.told.append("arrived")

    def fail(self, failure: Failure) -> None:
        self.told.append(failure.code)


def test_who_follows_hears_that_it_has_joined_and_cost_no_attempt() -> None:
    mine, other, passenger = RecordingSink(), RecordingSink(), Passenger()
    flight = Flight(Leader(), mine)
    flight.board(passenger, other, None, None, chat=False)
    flight.opened(OPENING)
    assert mine.openings == [OPENING]
    assert other.openings == [Opening("gpu-1", "joined", 0)] and passenger.told == ["began"]


def test_who_boards_late_hears_first_what_was_said() -> None:
    flight, other = Flight(Leader(), RecordingSink()), RecordingSink()
    flight.board(Passenger(), other, OPENING, Begun("cmpl-1", "m", 0, "Once ", 1), chat=False)
    flight.events(text_events("upon"))
    assert other.text == "Once upon"


def test_a_flight_is_abandoned_when_the_last_one_leaves_and_not_before() -> None:
    leader = Leader()
    flight = Flight(leader, RecordingSink())
    seats = [flight.board(Passenger(float(n)), RecordingSink(), None, None, chat=False) for n in (1, 3, 2)]
    assert flight.ends_at == 3.0
    assert flight.first is not None
    flight.leave(flight.first)
    for seat in seats[:2]:
        seat.cancel()
    assert leader.told == [] and flight.ends_at == 2.0
    seats[2].cancel()
    seats[2].cancel()
    assert leader.told.count("abandoned") >= 1


def test_the_end_is_told_once_to_each_and_abandons_nobody() -> None:
    leader, mine, passenger = Leader(), RecordingSink(), Passenger()
    flight = Flight(leader, mine)
    seat = flight.board(passenger, RecordingSink(), None, None, chat=False)
    flight.done(Outcome("m", "gpu-1", "miss", 1, 0.0, 0.0, 0.0))
    seat.cancel()
    assert mine.endings == 1 and passenger.told == ["arrived"] and leader.told == []
