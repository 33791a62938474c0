from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.routing import prefix_index
from balancer.routing.prefix_index import LEVELS_MAX, TOKENS_A_BLOCK, PrefixIndex

PLENTY = 1000 * TOKENS_A_BLOCK


def members(*indexes: int) -> int:
    return sum(1 << index for index in indexes)


def test_those_who_hold_most_come_first() -> None:
    index = PrefixIndex(8)
    index.sent(0, [1, 2], PLENTY)
    index.sent(3, [1, 2, 3, 4], PLENTY)
    index.sent(5, [1, 2], PLENTY)
    index.sent(7, [9], PLENTY)
    assert index.levels([1, 2, 3, 4, 5]) == [(4, members(3)), (2, members(0, 5))]
    assert index.levels([9, 2]) == [(1, members(7))]
    assert index.levels([8]) == index.levels([]) == []


def test_the_end_of_the_oldest_is_forgotten_first() -> None:
    index = PrefixIndex(8)
    index.sent(0, [1, 2, 3], 6 * TOKENS_A_BLOCK)
    index.sent(0, [4, 5, 6], 6 * TOKENS_A_BLOCK)
    index.sent(0, [7], 6 * TOKENS_A_BLOCK)
    assert [index.levels(blocks)[0][0] for blocks in ([1, 2, 3], [4, 5, 6], [7])] == [2, 3, 1]
    index.sent(0, [1, 2], 6 * TOKENS_A_BLOCK)
    index.sent(0, [8, 9], 6 * TOKENS_A_BLOCK)
    assert index.levels([1, 2])[0][0] == 2
    assert index.levels([4, 5, 6])[0][0] == 1


def test_one_that_was_replaced_holds_nothing() -> None:
    index = PrefixIndex(8)
    index.sent(0, [1, 2], PLENTY)
    index.sent(1, [1], PLENTY)
    index.forget(0)
    index.forget(0)
    assert index.levels([1, 2]) == [(1, members(1))]
    assert len(index) == 1


def test_a_memory_of_less_than_a_block_is_full_with_one() -> None:
    index = PrefixIndex(8)
    index.sent(0, [1, 2], 1)
    assert index.levels([1, 2]) == [(1, members(0))] and index.fullness[0] == 1.0


def test_it_tells_how_full_a_memory_is() -> None:
    index = PrefixIndex(8)
    index.sent(3, [1, 2, 3], 6 * TOKENS_A_BLOCK)
    assert list(index.fullness)[2:5] == [0.0, 0.5, 0.0]
    for number in range(9):
        index.sent(3, [10 * number], 6 * TOKENS_A_BLOCK)
    assert index.fullness[3] == 1.0
    index.forget(3)
    assert index.fullness[3] == 0.0


def test_a_prompt_that_goes_on_from_the_end_of_an_earlier_one_continues_it() -> None:
    index = PrefixIndex(8)
    index.sent(0, [1, 2, 3], PLENTY)
    assert index.continues([1, 2, 3, 4], 3)
    assert not index.continues([1, 2, 9], 2)
    index.sent(0, [1, 2, 3, 4], PLENTY, 3)
    assert index.continues([1, 2, 3, 4, 5], 4)
    assert not index.continues([1, 2, 3, 9], 3)
    index.sent(1, [1, 2, 3, 4], PLENTY, 4)
    assert index.continues([1, 2, 3, 4, 5], 4)


def test_ends_are_forgotten_with_their_blocks() -> None:
    index = PrefixIndex(8)
    for number in range(50):
        index.sent(number % 2, [number, 100 + number], 8 * TOKENS_A_BLOCK)
    held = [number for number in range(50) if index.continues([number, 100 + number], 2)]
    assert held == list(range(42, 50))


def test_all_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_index, "ENTRIES_MAX", 100)
    index = PrefixIndex(8)
    for number in range(1000):
        index.sent(number % 4, [number, number + 5000], 0)
    assert len(index) <= 100


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([5, 40, 1000]))
def test_levels_are_what_a_look_at_every_block_finds(seed: int, capacity: int) -> None:
    """Against the plain way: the blocks of each backend in the order of their use, matched one by one."""
    rng = random.Random(seed)
    index, plain = PrefixIndex(8), [dict[int, None]() for _ in range(4)]
    # A tree of texts: block n of a branch has a number of its own.
    texts = [[100 * branch + at if at >= branch else at for at in range(rng.randint(1, 12))] for branch in range(6)]
    for _ in range(60):
        backend, text = rng.randrange(4), rng.choice(texts)
        index.sent(backend, text, capacity * TOKENS_A_BLOCK)
        for block in reversed(text):
            plain[backend].pop(block, None)
            plain[backend][block] = None
        while len(plain[backend]) > capacity:
            del plain[backend][next(iter(plain[backend]))]
        asked = rng.choice(texts)
        matched = [next((at for at, b in enumerate(asked) if b not in held), len(asked)) for held in plain]
        expected = {depth: members(*(i for i in range(4) if matched[i] == depth)) for depth in matched if depth}
        assert index.levels(asked) == sorted(expected.items(), reverse=True)[:LEVELS_MAX]
    assert len(index) == sum(map(len, plain))
