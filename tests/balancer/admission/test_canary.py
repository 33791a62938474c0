from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.admission.canary import arm_of, pick, point_of

ARMS = (("v1", 90.0), ("v2", 10.0))


class NoRng:
    def random(self) -> float:
        raise AssertionError("nothing was to be drawn")


@pytest.mark.parametrize(("point", "arm"), [(0.0, "v1"), (0.899, "v1"), (0.9, "v2"), (0.999999, "v2")])
def test_arms_lie_end_to_end(point: float, arm: str) -> None:
    assert pick(ARMS, point) == arm


@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=8).filter(lambda weights: sum(weights) > 0),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_whoever_is_picked_has_a_share(weights: list[float], point: float) -> None:
    arms = [(str(at), weight) for at, weight in enumerate(weights)]
    assert dict(arms)[pick(arms, point)] > 0


def test_a_session_keeps_its_arm_without_chance() -> None:
    arms = {arm_of(ARMS, "gpt-x", "alice", "chat-7", NoRng()) for _ in range(3)}
    assert len(arms) == 1


def test_sessions_spread_by_the_shares_and_by_tenant() -> None:
    got = Counter(arm_of(ARMS, "gpt-x", "alice", str(n), NoRng()) for n in range(10_000))
    assert 850 < got["v2"] < 1150
    assert [point_of("m", "alice", str(n)) for n in range(9)] != [point_of("m", "bob", str(n)) for n in range(9)]


def test_more_for_one_moves_no_session_the_other_way() -> None:
    wider = (("v1", 70.0), ("v2", 30.0))
    for n in range(2000):
        before, after = (arm_of(arms, "gpt-x", "alice", str(n), NoRng()) for arms in (ARMS, wider))
        assert before == after or (before, after) == ("v1", "v2")


def test_without_a_session_chance_decides_by_the_shares() -> None:
    rng = random.Random(1)
    got = Counter(arm_of(ARMS, "gpt-x", "alice", "", rng) for _ in range(10_000))
    assert 850 < got["v2"] < 1150


def test_an_alias_draws_nothing() -> None:
    assert arm_of((("v1", 1.0),), "gpt-x", "alice", "", NoRng()) == "v1"


@given(st.text(), st.text(), st.text())
def test_every_text_has_a_point(name: str, tenant: str, session: str) -> None:
    assert 0.0 <= point_of(name, tenant, session) < 1.0
