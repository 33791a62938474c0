from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.epochs import MODELS_MAX, Epochs


def test_a_model_that_is_forgotten_gets_another_number_and_no_other_does() -> None:
    epochs = Epochs()
    before = epochs.of("a"), epochs.of("b")
    epochs.advance("a")
    assert epochs.of("a") != before[0] and epochs.of("b") == before[1]
    epochs.advance()
    assert epochs.of("b") != before[1]


@given(st.lists(st.sampled_from([None, "a", "b"])))
def test_no_number_comes_back(steps: list[str | None]) -> None:
    epochs = Epochs()
    seen: dict[str, list[int]] = {name: [epochs.of(name)] for name in ("a", "b")}
    for step in steps:
        epochs.advance(step)
        for name, numbers in seen.items():
            if step in (None, name):
                assert epochs.of(name) not in numbers
                numbers.append(epochs.of(name))
            else:
                assert epochs.of(name) == numbers[-1]


def test_another_version_has_other_numbers() -> None:
    assert len({Epochs(version).of("m") for version in ("", "1", "2")}) == 3
    assert Epochs("1").of("m") == Epochs("1").of("m")


def test_what_was_forgotten_stays_so_after_a_restart() -> None:
    epochs, again = Epochs("v"), Epochs("v")
    for model in ("a", None, "b"):
        epochs.advance(model)
    again.restore(json.loads(json.dumps(epochs.as_dict())))
    assert [again.of(name) for name in "abc"] == [epochs.of(name) for name in "abc"]
    again.advance("a")
    assert again.of("a") not in (epochs.of("a"), epochs.of("b"))


@pytest.mark.parametrize(
    "told", [None, [], {}, {"latest": "1"}, {"latest": -1, "all": 0, "models": {}}, {"latest": 1, "all": 1}]
)
def test_what_cannot_be_read_is_passed_over(told: object) -> None:
    epochs = Epochs()
    epochs.restore(told)
    assert epochs.of("m") == Epochs().of("m")


def test_too_many_models_forget_all() -> None:
    epochs = Epochs()
    for number in range(MODELS_MAX + 1):
        epochs.advance(f"m{number}")
    assert len({epochs.of(f"m{number}") for number in range(MODELS_MAX + 1)}) == 1
    assert epochs.of("m0") != Epochs().of("m0")


def test_what_was_forgotten_on_either_side_stays_forgotten_when_they_are_merged() -> None:
    here, there = Epochs(), Epochs()
    there.advance()
    there.advance("m")
    here.advance("n")
    used = {each.of(model) for each in (here, there) for model in ("m", "n", "o")}
    here.merge(there.as_dict())
    assert here.of("m") == there.of("m") and here.of("o") == there.of("o")
    assert here.of("n") not in used
    here.advance()
    used.add(here.of("n"))
    here.merge(there.as_dict())
    assert all(here.of(model) not in used for model in ("m", "n", "o"))


def test_who_forgot_nothing_goes_on_as_the_other_did() -> None:
    here, there = Epochs(), Epochs()
    there.advance("m")
    here.merge(there.as_dict())
    assert here.as_dict() == there.as_dict()
    here.merge("damaged")
    assert here.of("o") == there.of("o")
