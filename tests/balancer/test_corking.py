"""What is written in one turn goes out at its end."""

from __future__ import annotations

from collections.abc import Callable

from balancer.corking import Cork


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
