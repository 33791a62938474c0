from __future__ import annotations

from typing import Any

import pytest

from balancer.routing.policy import FEW
from balancer.routing.priority import LARGEST, priority_of
from tests.balancer.pool.specs import a_spec
from tests.balancer.routing.pools import Pool


def labelled(priority: str) -> dict[str, Any]:
    return {"labels": (("priority", priority), ("zone", "eu"))}


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ({}, 0),
        (labelled("2"), 2),
        (labelled("-1"), -1),
        (labelled("cheap"), 0),
        (labelled("9" * 60), LARGEST),
        (labelled("-" + "9" * 60), -LARGEST),
    ],
)
def test_the_label_is_read(labels: dict[str, Any], number: int) -> None:
    assert priority_of(a_spec("a", **labels)) == number


@pytest.mark.parametrize("size", [2, FEW + 2])
def test_the_next_number_is_asked_only_when_the_first_is_full(size: int) -> None:
    pool = Pool("priority")
    for number in range(size):
        pool.add(f"dear{number}", slots=2, **labelled("1"))
        pool.add(f"own{number}", slots=2)
    given = [pool.lease().spec.name for _ in range(4 * size)]
    assert all(name.startswith("own") for name in given[: 2 * size])
    assert all(name.startswith("dear") for name in given[2 * size :])


def test_a_freed_slot_of_the_first_is_taken_before_any_of_the_next() -> None:
    pool = Pool("priority")
    pool.add("own", slots=1)
    pool.add("dear", slots=5, **labelled("1"))
    held = pool.lease()
    assert pool.choose() == "dear"
    held.release()
    assert pool.choose() == "own"


def test_within_a_number_the_one_with_the_fewest_leases_is_chosen() -> None:
    pool = Pool("priority")
    for name in "abc":
        pool.add(name, slots=9, **labelled("0" if name != "c" else "3"))
    assert "".join(pool.lease().spec.name for _ in range(6)) == "ababab"


def test_a_backend_that_joins_later_is_known_by_its_label() -> None:
    pool = Pool("priority")
    pool.add("dear", slots=9, **labelled("1"))
    assert pool.choose() == "dear"
    pool.add("own", slots=9)
    assert [pool.choose() for _ in range(3)] == ["own"] * 3
