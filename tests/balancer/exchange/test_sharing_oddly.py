"""Sharing where something odd happens: who asks within an end, and whose door cannot read."""

from __future__ import annotations

import pytest

from balancer.exchange.outcome import Outcome, Record
from tests.balancer.exchange.test_sharing import a_hall
from tests.fakes import Hall, RecordingSink


class AskingAgain(RecordingSink):
    """A connection that has the same question waiting behind the first one."""

    def __init__(self, hall: Hall) -> None:
        super().__init__()
        self.hall = hall
        self.next: RecordingSink | None = None

    def done(self, outcome: Outcome) -> None:
        super().done(outcome)
        _, self.next = self.hall.ask()


def test_who_asks_again_at_the_end_of_an_answer_does_not_join_what_is_over() -> None:
    hall = a_hall()
    sink = AskingAgain(hall)
    hall.dispatcher.begin(hall.request(), sink)
    hall.calls[0].say("cut off")
    hall.calls[0].finish("length")
    assert sink.next is not None and len(hall.calls) == 2, "it is not kept, so it is made anew"
    hall.calls[1].answer("x")
    assert sink.next.text == "x" and hall.dispatcher.active == 0


@pytest.mark.parametrize("paused", [False, True])
def test_whose_door_cannot_read_is_told_so_alone(paused: bool) -> None:
    hall = a_hall()
    _, first = hall.ask()
    reader, unlucky = hall.ask()
    _, third = hall.ask()
    assert reader is not None
    hall.calls[0].say("one ")
    if paused:
        reader.pause()
    unlucky.refuses = "no chunk"
    hall.calls[0].say("two ")
    hall.calls[0].answer("three")
    assert unlucky.code == "backend_failed" and unlucky.endings == 1 and unlucky.text == "one "
    assert first.text == third.text == "one two three"
    assert hall.dispatcher.active == hall.in_flight() == 0


def test_who_reads_again_and_cannot_is_told_so_alone() -> None:
    hall = a_hall()
    _, first = hall.ask()
    reader, unlucky = hall.ask()
    assert reader is not None
    reader.pause()
    hall.calls[0].say("one ")
    unlucky.refuses = "no chunk"
    reader.resume()
    assert unlucky.code == "backend_failed" and unlucky.endings == 1
    hall.calls[0].answer("two")
    assert first.text == "one two" and hall.dispatcher.active == hall.in_flight() == 0


def test_what_the_first_one_cannot_read_is_made_up_for_once_for_all() -> None:
    hall = a_hall()
    _, first = hall.ask()
    _, second = hall.ask()
    first.refuses = "no chunk"
    hall.calls[0].say("one ")
    first.refuses = None
    assert len(hall.calls) == 2 and not hall.calls[0].running
    hall.calls[1].answer("one")
    assert first.text == second.text == "one"


def test_a_door_that_fails_at_the_end_holds_no_slot() -> None:
    class Broken(RecordingSink):
        def done(self, outcome: Outcome) -> None:
            raise RuntimeError("a bug")

    hall = a_hall()
    hall.dispatcher.begin(hall.request(), Broken())
    with pytest.raises(RuntimeError):
        hall.calls[0].answer("x")
    assert hall.dispatcher.active == hall.in_flight() == 0


def test_the_tokens_of_who_left_are_still_the_ones_it_asked_for() -> None:
    hall = a_hall()
    records: list[Record] = []
    hall.dispatcher.observers.append(records.append)
    leader, _ = hall.ask()
    hall.ask()
    hall.calls[0].say("x")
    assert leader is not None
    leader.cancel()
    assert hall.dispatcher.counts["cancelled"] == 1
    hall.pass_time(1.0)
    hall.calls[0].answer("y")
    mine = next(record for record in records if record.outcome == "cancelled")
    assert mine.completion_tokens == 2 and mine.total_s == 0.0
