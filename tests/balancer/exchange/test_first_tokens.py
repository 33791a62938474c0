from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balancer.exchange.first_tokens import KEPT, LEAST, MODELS_MAX, FirstTokens


def test_nothing_is_late_until_enough_is_known() -> None:
    found = FirstTokens()
    for _ in range(LEAST - 1):
        found.learn("m", 1.0)
    assert found.late_after_s("m") is None
    found.learn("m", 1.0)
    assert found.late_after_s("m") == 1.0 and found.late_after_s("other") is None


def test_ninety_five_of_a_hundred_are_in_time() -> None:
    found = FirstTokens()
    for number in range(98):
        found.learn("m", float(number))
    late_s = found.late_after_s("m")
    assert late_s is not None and 92 <= late_s <= 94


def test_what_it_was_like_long_ago_does_not_matter() -> None:
    found = FirstTokens()
    for seconds in (9.0, 0.5):
        for _ in range(KEPT + LEAST):
            found.learn("m", seconds)
    assert found.late_after_s("m") == 0.5


def test_models_are_bounded() -> None:
    found = FirstTokens()
    for number in range(MODELS_MAX + 1):
        for _ in range(LEAST):
            found.learn(str(number), 1.0)
    assert found.late_after_s("0") is None and found.late_after_s(str(MODELS_MAX)) == 1.0


@given(st.lists(st.floats(0, 100), min_size=LEAST, max_size=400))
def test_it_is_always_one_of_what_was_told(seconds: list[float]) -> None:
    found = FirstTokens()
    for each in seconds:
        found.learn("m", each)
    assert found.late_after_s("m") in seconds
