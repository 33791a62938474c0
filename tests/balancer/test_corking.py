"""What is written in one turn goes out at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from balancer.corking import Cork, Outbox


class Turns:
    """A loop that does what it was asked to when it is told to."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def end(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Writer:
    def __init__(self, told: list[str], name: str, then: Callable[[], None] = lambda: None) -> None:
        self._told, self._name, self._then = told, name, then

    def flush(self) -> None:
        self._told.append(self._name)
        self._then()


def test_nothing_goes_out_before_the_turn_ends_and_then_all_in_order() -> None:
    turns, told = Turns(), list[str]()
    cork = Cork(turns.call_soon)
    cork.hold(Writer(told, "a"))
    cork.hold(Writer(told, "b"))
    assert told == [] and len(turns.soon) == 1
    turns.end()
    assert told == ["a", "b"]


def test_the_next_turn_is_asked_for_anew() -> None:
    turns, told = Turns(), list[str]()
    cork = Cork(turns.call_soon)
    cork.hold(Writer(told, "a"))
    turns.end()
    assert turns.soon == []
    cork.hold(Writer(told, "b"))
    turns.end()
    assert told == ["a", "b"]


def test_who_writes_because_another_did_is_of_the_next_turn() -> None:
    turns, told = Turns(), list[str]()
    cork = Cork(turns.call_soon)
    cork.hold(Writer(told, "a", lambda: cork.hold(Writer(told, "b"))))
    turns.end()
    assert told == ["a"]
    turns.end()
    assert told == ["a", "b"]


class Pipe(asyncio.Transport):
    """Takes what is written; ``unread`` is what the other side has not read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unread = 0
        self.closing = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing


def an_outbox(turns: Turns | None) -> tuple[Outbox, Pipe]:
    outbox, pipe = Outbox(Cork(turns.call_soon) if turns is not None else None), Pipe()
    outbox.transport = pipe
    return outbox, pipe


def test_what_one_connection_writes_in_a_turn_goes_out_in_one_piece() -> None:
    turns = Turns()
    outbox, pipe = an_outbox(turns)
    outbox.write(b"a")
    outbox.write(b"b")
    assert outbox.unsent and pipe.written == []
    turns.end()
    assert pipe.written == [b"ab"] and not outbox.unsent
    pipe.unread = 1
    assert outbox.unsent


def test_without_a_cork_it_goes_out_at_once() -> None:
    outbox, pipe = an_outbox(None)
    outbox.write(b"a")
    outbox.write(b"b")
    assert pipe.written == [b"a", b"b"]


def test_what_is_held_for_a_connection_that_closes_or_is_lost_goes_nowhere() -> None:
    turns = Turns()
    closing, first = an_outbox(turns)
    lost, second = an_outbox(turns)
    for outbox in (closing, lost):
        outbox.write(b"a")
    first.closing = True
    lost.lost()
    lost.write(b"b")
    turns.end()
    assert first.written == second.written == [] and not closing.unsent and not lost.unsent
