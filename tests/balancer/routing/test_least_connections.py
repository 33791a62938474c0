from __future__ import annotations

from balancer.routing.policy import FEW
from tests.balancer.routing.pools import Pool


def a_pool(**weights: float) -> Pool:
    pool = Pool("least-connections")
    for name, weight in weights.items():
        pool.add(name, weight=weight, slots=100)
    return pool


def test_the_one_with_the_fewest_leases_is_chosen() -> None:
    pool = a_pool(a=1, b=1, c=1)
    leases = {lease.spec.name: lease for lease in (pool.lease() for _ in range(6)) if lease}
    leases["b"].release()
    assert pool.lease().spec.name == "b"


def test_equals_take_turns() -> None:
    pool = a_pool(a=1, b=1, c=1)
    assert "".join(pool.choose() for _ in range(7)) == "abcabca"


def test_leases_are_counted_by_weight() -> None:
    pool = a_pool(a=1, b=3)
    assert "".join(pool.lease().spec.name for _ in range(8)) == "bbabbbab"


def test_an_idle_backend_of_greater_weight_comes_first() -> None:
    assert a_pool(a=1, b=2).choose() == "b"


def test_a_long_request_is_worked_around() -> None:
    pool = a_pool(a=1, b=1)
    assert pool.lease().spec.name == "a"
    assert [pool.choose() for _ in range(4)] == ["b"] * 4


def test_many_backends_are_treated_as_few_are() -> None:
    few, many = Pool("least-connections"), Pool("least-connections")
    for number in range(FEW):
        few.add(f"b{number}", weight=1.0 + number % 3, slots=100)
        many.add(f"b{number}", weight=1.0 + number % 3, slots=100)
    # One more of hardly any weight makes them many.
    many.add("z", weight=1e-9, slots=100)
    order = [few.lease().spec.name for _ in range(4 * FEW)]
    assert [many.lease().spec.name for _ in range(4 * FEW)] == order
