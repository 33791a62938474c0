from __future__ import annotations

import pytest

from balancer.routing.policies import POLICIES, make_policy


def test_the_policies_are_known_by_the_names_operators_write() -> None:
    assert sorted(POLICIES) == [
        "adaptive",
        "least-connections",
        "least-latency",
        "least-tokens",
        "power-of-two",
        "prefix-affinity",
        "priority",
        "random",
        "round-robin",
        "session",
    ]


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_each_call_makes_a_policy_of_its_own_that_knows_its_name(name: str) -> None:
    first, second = make_policy(name), make_policy(name)
    assert first is not second
    assert first.name == name


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        make_policy("best")
