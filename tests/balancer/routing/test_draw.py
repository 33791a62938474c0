from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.routing.draw import draw, draw_another, draw_two, ends_of
from balancer.routing.policy import FEW
from tests.balancer.routing.pools import CHAT, Pool

WEIGHTS = [0.5, 1.0, 2.0]


class Fixed:
    """Draws the same number every time."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


@pytest.mark.parametrize("size", [3, FEW + 3])
def test_ends_are_the_weights_laid_end_to_end(size: int) -> None:
    pool = Pool("round-robin")
    for number in range(size):
        pool.add(f"b{number}", weight=WEIGHTS[number % 3])
    (tier,) = pool.registry.view.group(CHAT.model, CHAT.endpoint).tiers
    candidates = tier.indexes if size <= FEW else tier.indexes_np
    assert list(ends_of(candidates, pool.ledger))[:4] == pytest.approx([0.5, 1.5, 3.5, 4.0][:size])


def test_each_is_drawn_as_often_as_its_weight() -> None:
    rng = random.Random(1)
    drawn = Counter(draw([0.5, 1.5, 3.5], rng) for _ in range(7000))
    assert [drawn[at] for at in range(3)] == pytest.approx([1000, 2000, 4000], rel=0.1)


def test_the_second_is_drawn_by_weight_among_the_others() -> None:
    rng = random.Random(1)
    drawn = Counter(draw_another([0.5, 1.5, 3.5], 1, rng) for _ in range(5000))
    assert [drawn[at] for at in range(3)] == pytest.approx([1000, 0, 4000], rel=0.1)


@given(st.lists(st.floats(0.01, 100.0), min_size=2, max_size=40), st.floats(0.0, 1.0, exclude_max=True), st.data())
def test_whatever_is_drawn_is_there(weights: list[float], number: float, data: st.DataObject) -> None:
    ends = [sum(weights[: at + 1]) for at in range(len(weights))]
    first = data.draw(st.integers(0, len(weights) - 1))
    assert 0 <= draw(ends, Fixed(number)) < len(weights)
    assert 0 <= draw_another(ends, first, Fixed(number)) < len(weights)


def test_of_two_that_are_drawn_neither_is_the_other_unless_there_is_but_one() -> None:
    pool, rng = Pool("round-robin"), random.Random(1)
    for number in range(3):
        pool.add(f"b{number}", weight=WEIGHTS[number])
    (tier,) = pool.registry.view.group(CHAT.model, CHAT.endpoint).tiers
    for _ in range(200):
        first, second = draw_two(tier.indexes, pool.ledger, rng)
        assert first != second and {first, second} <= set(tier.indexes)
    before = rng.getstate()
    assert draw_two(tier.indexes[:1], pool.ledger, rng) == (tier.indexes[0], tier.indexes[0])
    assert rng.getstate() == before, "nothing is drawn where there is nothing to draw"
