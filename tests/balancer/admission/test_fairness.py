from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable

import pytest

from balancer.admission.fairness import DeficitRoundRobin, Flow
from balancer.admission.queue import Waiter


def a_waiter(tenant: str, tokens: int = 100, need: Hashable = "m", size_bytes: int = 1) -> Waiter:
    return Waiter(
        lambda: False, lambda now: None, lambda position: None, need, size_bytes, 1.0, tenant=tenant, tokens=tokens
    )


class Line(DeficitRoundRobin):
    """Counts who comes."""

    came = 0

    def come(self, *waiters: Waiter, weight: float = 1.0) -> None:
        for waiter in waiters:
            self.came += 1
            self.add(waiter, self.came, weight)

    def served(self, most: int, blocked: Iterable[Hashable] = ()) -> list[Waiter]:
        """Take so many turns."""
        found: list[Waiter] = []
        while len(found) < most and (turn := self.next(set(blocked))) is not None:
            self.take(turn)
            self.remove(turn.waiter)
            found.append(turn.waiter)
        return found


def tenants(waiters: Iterable[Waiter]) -> str:
    return "".join(waiter.tenant for waiter in waiters)


def tokens(waiters: Iterable[Waiter]) -> Counter[str]:
    found: Counter[str] = Counter()
    for waiter in waiters:
        found[waiter.tenant] += waiter.tokens
    return found


def test_a_flow_keeps_the_order_of_coming_over_all_its_needs() -> None:
    flow, waiters = Flow("a"), [a_waiter("a", need=need) for need in "xyxyz"]
    for number, waiter in enumerate(waiters):
        flow.add(waiter, number)
    assert flow.in_order() == waiters
    assert (flow.first(), flow.first({"x"}), flow.first({"x", "y"}), flow.first({*"xyz"})) == (
        waiters[0],
        waiters[1],
        waiters[4],
        None,
    )
    assert flow.last() is waiters[4]
    flow.remove(waiters[4])
    assert flow.last() is waiters[3]
    assert (flow.waiting, flow.tokens, flow.size_bytes) == (4, 400, 4)


def test_equal_tenants_take_turns_whoever_came_first() -> None:
    line = Line()
    line.come(*(a_waiter("a") for _ in range(6)), a_waiter("b"), a_waiter("b"), a_waiter("c"))
    assert tenants(line.served(99)) == "abcabaaaa"


def test_turns_are_counted_in_tokens_and_not_in_requests() -> None:
    line = Line()
    for _ in range(200):
        line.come(a_waiter("a", 1000), a_waiter("b", 100))
    got = tokens(line.served(110))
    assert abs(got["a"] - got["b"]) <= 2 * 1000


def test_a_tenant_of_twice_the_weight_gets_twice_the_tokens() -> None:
    line, rng = Line(), random.Random(3)
    for _ in range(300):
        line.come(a_waiter("a", rng.randrange(10, 500)), weight=2.0)
        line.come(a_waiter("b", rng.randrange(10, 500)), weight=1.0)
    got = tokens(line.served(300))
    assert got["a"] / got["b"] == pytest.approx(2.0, rel=0.05)


def test_what_is_left_of_a_turn_is_kept_while_something_waits() -> None:
    line = Line()
    line.come(*(a_waiter("a", 60) for _ in range(9)), *(a_waiter("b", 90) for _ in range(6)))
    got = tokens(line.served(10))
    assert abs(got["a"] - got["b"]) <= 60 + 90


def test_what_is_left_is_lost_when_nothing_waits() -> None:
    line = Line()
    line.come(a_waiter("a", 1), *(a_waiter("b", 1000) for _ in range(9)))
    line.served(1)
    assert line.flow("a") is None
    line.come(a_waiter("a", 10), a_waiter("a", 2000))
    flow = line.flow("a")
    assert flow is not None and flow.deficit < 1100


def test_a_request_of_any_size_has_its_turn() -> None:
    line = Line()
    line.come(a_waiter("big", 10**9), *(a_waiter("small", 1) for _ in range(50)))
    assert "big" in [waiter.tenant for waiter in line.served(51)]


@pytest.mark.parametrize("weight", [1e-300, 1e-9, 1000.0])
def test_the_least_and_the_greatest_weight_have_their_turns_at_once_where_nobody_else_can(weight: float) -> None:
    line = Line()
    line.come(*(a_waiter("odd") for _ in range(3)), weight=weight)
    line.come(a_waiter("other"), weight=1.0)
    assert sorted(tenants(line.served(4))) == sorted("odd" * 3 + "other")


def test_a_tenant_whose_need_is_blocked_is_passed_over_and_granted_nothing() -> None:
    line = Line()
    line.come(a_waiter("a", need="x"), a_waiter("a", need="x"), a_waiter("b", need="y"), a_waiter("b", need="y"))
    flow = line.flow("a")
    assert flow is not None
    before = flow.deficit
    assert tenants(line.served(9, blocked={"x"})) == "bb"
    assert flow.deficit == before
    assert line.next({"x"}) is None


def test_a_turn_that_is_not_taken_changes_nothing() -> None:
    line = Line()
    line.come(a_waiter("a", 500), a_waiter("b", 900), a_waiter("c", 50, need="y"))
    before = [(flow.tenant, flow.deficit) for flow in line.flows()]
    for blocked in (set(), {"m"}, {"y"}, {"m", "y"}):
        line.next(blocked)
    assert [(flow.tenant, flow.deficit) for flow in line.flows()] == before


def test_turns_that_nobody_could_take_favour_nobody() -> None:
    """Two needs without a slot are asked for again and again; it does not add up to free tokens for large requests."""
    line, got = Line(), []
    line.come(*(a_waiter("y", need="y") for _ in range(3)))
    for _ in range(100):
        line.come(a_waiter("large", 1000), a_waiter("small", 100), a_waiter("small", 100))
    for _ in range(100):
        for blocked in (set(), {"m"}, {"y"}, {"m", "y"}, set()):
            line.next(blocked)
        got += line.served(1, blocked={"y"})
    shares = tokens(got)
    assert abs(shares["large"] - shares["small"]) <= 2000


def test_the_order_told_is_the_order_served_while_sizes_are_equal() -> None:
    line, rng = Line(), random.Random(5)
    line.come(*(a_waiter(rng.choice("abcd")) for _ in range(40)))
    told = line.in_order()
    assert line.served(40) == told


def test_the_order_told_holds_everybody_once_and_each_tenant_in_its_order() -> None:
    line, rng = Line(), random.Random(6)
    waiters = [a_waiter(rng.choice("abc"), rng.randrange(1, 1000), rng.choice("xy")) for _ in range(60)]
    line.come(*waiters)
    told = line.in_order()
    assert sorted(map(id, told)) == sorted(map(id, waiters))
    for tenant in "abc":
        assert [waiter for waiter in told if waiter.tenant == tenant] == [
            waiter for waiter in waiters if waiter.tenant == tenant
        ]
    assert Line().in_order() == []


def test_a_newcomer_s_place_is_guessed_within_what_waits_and_not_before_its_own() -> None:
    line, rng = Line(), random.Random(8)
    for n in range(100):
        waiter = a_waiter(rng.choice("aaab"), rng.randrange(1, 1000))
        line.come(waiter, weight=rng.choice([0.5, 3.0]))
        flow = line.flow(waiter.tenant)
        assert flow is not None
        assert flow.waiting <= line.guess(flow) <= line.waiting == n + 1


def test_a_decision_among_many_that_wait_looks_at_few() -> None:
    looked = 0

    class Counting(Flow):
        def first(self, blocked: object = frozenset()) -> Waiter | None:
            nonlocal looked
            looked += 1
            return super().first()

    line = Line()
    for n in range(300):
        line.come(*(a_waiter(str(n)) for _ in range(10)))
    for tenant, flow in line._ring.items():
        counting = Counting(tenant)
        for number, waiter in enumerate(flow.in_order()):
            counting.add(waiter, number)
        counting.deficit = flow.deficit
        line._ring[tenant] = counting
    line.served(1500)
    assert looked <= 2 * 1500
