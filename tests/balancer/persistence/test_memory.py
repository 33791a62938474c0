"""What a bound has learned, told to another one: after a restart, beside what that one knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.bound import HALF_LIFE_S, Bound
from balancer.cache.observations import COUNTS_MAX, RIGHT, WRONG
from balancer.persistence.memory import Recalled, recall, snapshot, version
from tests.balancer.cache.test_bound import bound, entry, learn, serves

CONTROLS = {"equal": 3, "right": 2, "wrong": 1}


def text(subject: Bound, unix_offset_s: float = 1000.0) -> str:
    return snapshot(subject, "v", "words", CONTROLS, unix_offset_s).text()


def told(
    to: Bound,
    told: str,
    *,
    verdict: str = "v",
    judge: str = "words",
    now: float = 0.0,
    unix_offset_s: float = 1000.0,
    created: Callable[[bytes], float | None] = lambda _: 0.0,
) -> Recalled | None:
    return recall(to, told, verdict, judge, now, unix_offset_s, created)


def taught() -> Bound:
    """Entry 7 is wrong, and tenant other's entries are."""
    subject = bound()
    learn(subject, RIGHT, 60)
    learn(subject, WRONG, 2, number=7)
    learn(subject, WRONG, 10, tenant="other")
    subject.serves(entry(3), 0.99, 0.0)
    return subject


def test_what_was_learned_holds_after_a_restart() -> None:
    again = bound()
    assert told(again, text(taught())) == Recalled("words", CONTROLS)
    before, after = taught().stats(), again.stats()
    for each in (before, after):
        each["pools"] = sorted(each["pools"], key=lambda pool: str(pool["tenant"]))
    assert after == before and version(again, {}) == version(taught(), {})
    assert not serves(again, 7) and serves(again, 8)
    assert not serves(again, 100, tenant="other") and serves(again, 100, tenant="third")
    assert again.reported(entry(3), 0.0), "it is known at which claim it was served"


def test_what_is_old_counts_less() -> None:
    again = bound()
    told(again, text(taught()), now=HALF_LIFE_S)
    for key, pool in taught().pools.items():
        assert again.pools[key].tally.checks == pytest.approx(pool.tally.checks / 2)


def test_another_answer_to_an_entry_s_question_starts_anew() -> None:
    again = bound()
    told(again, text(taught()), created=lambda _: 5.0)
    assert again.admits(entry(7, created=5.0), 0.99, 5.0) and not again.records
    again = bound()
    told(again, text(taught()), created=lambda _: None)
    assert not again.records and not again.served_at


def test_it_is_added_to_what_is_known_already() -> None:
    again = bound()
    learn(again, RIGHT, 5)
    told(again, text(taught()))
    assert again.checked[RIGHT] == 65
    known = again.pools["t", "m"].tally.checks
    assert known == taught().pools["t", "m"].tally.checks + 5


def test_of_another_verdict_it_teaches_nothing() -> None:
    again = bound()
    assert told(again, text(taught()), verdict="w") is None
    assert version(again, {}) == 0 and not again.pools


def test_limits_are_worked_out_anew_where_another_share_is_allowed() -> None:
    subject = Bound(0.5, taught().judge)
    told(subject, text(taught()))
    assert subject.records[entry(7).key].limit > taught().records[entry(7).key].limit


GOOD = text(taught())


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(GOOD), **changes})


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "{}",
        "9" * 400,
        "[" * 100_000,
        changed(format=2),
        changed(served=-1),
        changed(served="1"),
        changed(pools=[["t", "m", 0.0, [[0, 99, 1.0]]]]),
        changed(pools=[["t", "m", 0.0, [[0, 0, -1.0]]]]),
        changed(pools=[["t", "m", 0.0, [[0, 0, 1e300]]]]),
        changed(records=[["zz", 0.0, 1, []]]),
        changed(checked={"right": -3}),
    ],
)
def test_what_is_damaged_teaches_nothing(damaged: str) -> None:
    again = bound()
    assert told(again, damaged) is None and version(again, {}) == 0 and not again.pools and not again.records


@given(st.integers(0, 3000), st.characters())
def test_whatever_is_damaged_never_raises(at: int, put: str) -> None:
    told(bound(), GOOD[: at % len(GOOD)] + put + GOOD[at % len(GOOD) + 1 :])


def test_what_another_judge_said_is_left_out_and_what_was_counted_stays() -> None:
    again = bound()
    assert told(again, text(taught()), judge="a model") is not None
    assert again.served == taught().served and not again.records
    assert again.checked[RIGHT] == again.checked[WRONG] == 0
    assert serves(again, 100, tenant="other"), "nobody of now has said anything against it"


def test_two_memories_together_stay_within_what_a_third_start_can_read() -> None:
    again = bound()
    for _ in range(3):
        for pool in again.pools.values():
            pool.tally.counts[:] = COUNTS_MAX
        assert told(again, text(taught())) is not None
    assert told(bound(), text(again)) is not None
