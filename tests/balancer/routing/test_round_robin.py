from __future__ import annotations

import pytest

from balancer.routing.policy import FEW
from tests.balancer.routing.pools import Pool


def a_pool(**weights: float) -> Pool:
    pool = Pool("round-robin")
    for name, weight in weights.items():
        pool.add(name, weight=weight, slots=100)
    return pool


def test_equal_backends_take_turns() -> None:
    pool = a_pool(a=1, b=1, c=1)
    assert "".join(pool.choose() for _ in range(7)) == "abcabca"


def test_weights_are_mixed_smoothly() -> None:
    # The example of the algorithm's author.
    pool = a_pool(a=5, b=1, c=1)
    assert "".join(pool.choose() for _ in range(14)) == "aabacaa" * 2


def test_turns_go_on_when_another_leaves() -> None:
    pool = a_pool(a=1, b=1, c=1, d=1)
    assert pool.choose() + pool.choose() == "ab"
    pool.remove("b")
    given = "ab" + "".join(pool.choose() for _ in range(6))
    assert sorted(given.count(name) for name in "acd") == [2, 2, 3]


def test_a_newcomer_has_its_turn_however_many_came_and_left_before() -> None:
    pool = a_pool(a=1, b=1, c=1)
    for number in range(200):
        name = f"guest-{number}"
        pool.add(name, port=9, slots=100)
        assert name in [pool.choose() for _ in range(5)]
        pool.remove(name)


def test_a_restarted_backend_starts_from_nothing() -> None:
    pool = a_pool(a=3, b=1)
    assert "".join(pool.choose() for _ in range(2)) == "aa"
    pool.add("a", port=1, weight=3, slots=100, instance="another")
    pool.add("b", port=2, weight=1, slots=100, instance="another")
    assert "".join(pool.choose() for _ in range(4)) == "aaba"


def test_a_full_backend_is_passed_over() -> None:
    pool = Pool("round-robin")
    pool.add("a", slots=1)
    pool.add("b", slots=100)
    held = pool.lease()
    assert held.spec.name == "a"
    assert {pool.choose() for _ in range(5)} == {"b"}
    held.release()
    assert {pool.choose() for _ in range(2)} == {"a", "b"}


def test_many_backends_are_treated_as_few_are() -> None:
    weights = [1.0, 2.0, 4.0]
    few, many = Pool("round-robin"), Pool("round-robin")
    for number in range(FEW):
        few.add(f"b{number}", weight=weights[number % 3], slots=100)
        many.add(f"b{number}", weight=weights[number % 3], slots=100)
    # One more of hardly any weight makes them many.
    many.add("z", weight=1e-9, slots=100)
    order = [few.choose() for _ in range(3 * FEW)]
    assert [many.choose() for _ in range(3 * FEW)] == order


@pytest.mark.parametrize("size", [7, FEW + 7])
def test_fractions_do_not_wear_the_turns_down(size: int) -> None:
    pool = Pool("round-robin")
    pool.add_many(size, weight=0.1, slots=100)
    for _ in range(200):
        assert len({pool.choose() for _ in range(size)}) == size
