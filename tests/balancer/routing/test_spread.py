from __future__ import annotations

import numpy as np
import pytest

from balancer.routing.spread import CALM, REMEMBERED_S, Spread

S_PER_TOKEN = 1e-4


def shares(spread: Spread, indexes: list[int], now: float) -> list[float]:
    spread.advance(now)
    a_share = spread.per_share(indexes, S_PER_TOKEN)
    return [a_share * spread.given[index] for index in indexes]


def test_what_was_given_counts_in_fair_shares() -> None:
    spread = Spread(4)
    for index, count in ((0, 3000), (1, 1000)):
        for _ in range(count):
            spread.advance(5.0)
            spread.gave(index, S_PER_TOKEN)
    assert shares(spread, [0, 1], 5.0) == pytest.approx([1.5, 0.5], rel=0.02)
    many = spread.per_share(np.array([0, 1]), S_PER_TOKEN)
    assert many == spread.per_share([0, 1], S_PER_TOKEN)


def test_the_sum_of_all_that_are_known_is_kept() -> None:
    spread = Spread(4)
    spread.know([0, 1, 3])
    for step in range(3000):
        spread.advance(0.9 * step)
        spread.gave((0, 0, 1, 3)[step % 4], S_PER_TOKEN)
    kept = spread.per_share([0, 1, 3], S_PER_TOKEN)
    spread.know([])
    assert kept == pytest.approx(spread.per_share([0, 1, 3], S_PER_TOKEN), rel=1e-9)
    spread.know([0, 1, 2, 3])
    assert kept < spread.per_share([0, 1, 2, 3], S_PER_TOKEN) < spread.per_share([1, 2, 3], S_PER_TOKEN)


def test_on_a_slow_backend_a_request_is_a_larger_share() -> None:
    spread = Spread(2)
    for _ in range(1000):
        spread.advance(0.0)
        spread.gave(0, 3 * S_PER_TOKEN)
        spread.advance(0.0)
        spread.gave(1, S_PER_TOKEN)
    assert shares(spread, [0, 1], 0.0) == pytest.approx([1.5, 0.5], rel=0.02)


def test_a_few_requests_are_nobodys_share() -> None:
    spread = Spread(2)
    spread.advance(0.0)
    spread.gave(0, S_PER_TOKEN)
    assert shares(spread, [0, 1], 0.0) == pytest.approx([1 / (CALM + 0.5), 0.0])


def test_what_was_given_long_ago_has_faded() -> None:
    spread = Spread(2)
    for _ in range(1000):
        spread.advance(0.0)
        spread.gave(0, S_PER_TOKEN)
    for _ in range(1000):
        spread.advance(REMEMBERED_S)
        spread.gave(1, S_PER_TOKEN)
    assert shares(spread, [0, 1], REMEMBERED_S) == pytest.approx([0.53, 1.43], abs=0.01)
    for later in (30 * REMEMBERED_S, 1e6 * REMEMBERED_S):
        assert shares(spread, [0, 1], later) == pytest.approx([0.0, 0.0], abs=0.01)


def test_proportions_stay_however_long_it_runs() -> None:
    spread = Spread(2)
    for step in range(20_000):
        spread.advance(0.5 * step)
        spread.gave(step % 4 == 0, S_PER_TOKEN)
    assert shares(spread, [0, 1], 10_000.0) == pytest.approx([1.2, 0.4], rel=0.05)


def test_a_newcomer_was_given_as_much_as_the_others() -> None:
    spread = Spread(3)
    for index, count in ((0, 30), (1, 10), (2, 500)):
        for _ in range(count):
            spread.advance(0.0)
            spread.gave(index, S_PER_TOKEN)
    spread.forget(2, [0, 1])
    assert spread.given[2] == pytest.approx(20 * S_PER_TOKEN) == spread.given_np[2]
    spread.forget(2, [])
    assert spread.given[2] == 0.0
