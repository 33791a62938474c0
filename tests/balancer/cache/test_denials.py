from __future__ import annotations

from balancer.cache.denials import ASKED_MAX, Denials


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_whom_an_entry_answered_it_may_not_answer_again() -> None:
    denials = Denials()
    denials.served(key(1), key(9))
    denials.served(key(2), key(9))
    denials.served(key(1), key(8))
    assert not denials.denies(key(1), key(9))
    assert denials.deny(key(9)) == 2
    assert denials.denies(key(1), key(9)) and denials.denies(key(2), key(9))
    assert not denials.denies(key(1), key(8)) and not denials.denies(key(3), key(9))


def test_an_entry_that_answered_nobody_else_denies_nothing() -> None:
    denials = Denials()
    assert denials.deny(key(9)) == 0
    assert len(denials) == 0


def test_the_last_few_that_an_entry_answered_are_remembered_once_each() -> None:
    denials = Denials()
    for number in range(ASKED_MAX + 5):
        denials.served(key(number), key(99))
        denials.served(key(number), key(99))
    assert denials.deny(key(99)) == ASKED_MAX
    assert denials.denies(key(ASKED_MAX + 4), key(99)) and not denials.denies(key(4), key(99))


def test_both_memories_are_bounded() -> None:
    denials = Denials(pairs_max=3, entries_max=2)
    for number in range(5):
        denials.served(key(number), key(100 + number))
    assert [denials.deny(key(100 + number)) for number in range(5)] == [0, 0, 0, 1, 1]
    for number in range(5):
        denials.served(key(number), key(50))
    denials.deny(key(50))
    assert len(denials) == 3


def test_what_was_denied_can_be_taken_elsewhere() -> None:
    denials, again = Denials(), Denials()
    denials.served(key(1), key(9))
    denials.deny(key(9))
    again.restore(denials.pairs())
    assert again.denies(key(1), key(9)) and len(again) == 1
