from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.admission.aliases import ModelRule, ModelRules, parse_rules
from balancer.errors import ConfigError


def rules(given: dict[str, Any], *aliases: str) -> ModelRules:
    found = parse_rules(given, aliases)
    assert found is not None
    return found


def test_every_form_is_read() -> None:
    found = rules(
        {
            "gpt-x": "llama",
            "gpt-y": {"v1": 90, "v2": 10},
            "llama": {"fallback": ["mistral", "small"]},
            "gpt-z": {"to": {"v1": 1, "v2": 1.5}, "fallback": "small"},
        },
        "gpt-w = tiny",
    )
    assert found.by_name == {
        "gpt-x": ModelRule((("llama", 1.0),)),
        "gpt-y": ModelRule((("v1", 90.0), ("v2", 10.0))),
        "llama": ModelRule((("llama", 1.0),), ("mistral", "small")),
        "gpt-z": ModelRule((("v1", 1.0), ("v2", 1.5)), ("small",)),
        "gpt-w": ModelRule((("tiny", 1.0),)),
    }


def test_nothing_said_is_no_rules() -> None:
    assert parse_rules({}) is None


def test_equal_settings_are_equal_rules() -> None:
    given = {"gpt-x": {"v1": 90, "v2": 10}}
    assert rules(given) == rules(dict(given)) != rules({"gpt-x": {"v1": 91, "v2": 10}})


def test_an_alias_has_its_models_fallbacks_unless_it_has_its_own() -> None:
    found = rules(
        {"gpt-x": "llama", "gpt-y": {"to": "llama", "fallback": []}, "llama": {"fallback": ["small", "llama"]}}
    )
    assert found.fallbacks("gpt-x", "llama") == ("small",) == found.fallbacks("llama", "llama")
    assert found.fallbacks("gpt-y", "llama") == () == found.fallbacks("other", "other")


def test_an_alias_is_one_model() -> None:
    found = rules({"gpt-x": "llama", "gpt-y": {"v1": 1, "v2": 1}})
    assert [found.alias_of(name) for name in ("gpt-x", "gpt-y", "llama")] == ["llama", "gpt-y", "llama"]


def test_what_a_name_may_mean_are_its_models_and_their_fallbacks() -> None:
    found = rules({"gpt-y": {"gpt-y": 9, "next": 1}, "next": {"fallback": "small"}})
    assert found.meanings("gpt-y") == ("gpt-y", "next", "small")
    assert found.meanings("other") == ("other",)


def test_a_name_may_be_an_arm_of_its_own() -> None:
    assert rules({"gpt-x": {"gpt-x": 90, "gpt-x-next": 10}}).by_name["gpt-x"].arms[0] == ("gpt-x", 90.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": "b", "b": "c"}, "'b' is no model"),
        ({"a": {"b": 1, "c": 1}, "d": {"fallback": "a"}}, "'a' is no model"),
        ({"a": {}}, "expected a model"),
        ({"a": None}, "expected a model"),
        ({"a": ["b"]}, "expected a model"),
        ({"a": {"to": "b", "fallbck": "c"}}, "'fallbck'"),
        ({"a": {"v1": -1, "v2": 2}}, "share of 0 or more"),
        ({"a": {"v1": True}}, "there is no 'v1'"),
        ({"a": {"v1": float("inf")}}, "share of 0 or more"),
        ({"a": {"v1": float("nan")}}, "share of 0 or more"),
        ({"a": {"v1": 0, "v2": 0}}, "no model has a share"),
        ({"a": {"v1": 1, "v2": "x"}}, "share of 0 or more"),
        ({"a": {"fallback": {"b": 1}}}, "fallback: expected"),
        ({"a": {"fallback": [str(n) for n in range(9)]}}, "at most 8"),
        ({"a": {str(n): 1 for n in range(17)}}, "at most 16"),
        ({3.5: "a"}, "put it in quotes"),
        ({"a": {3.5: 1}}, "put it in quotes"),
        ({"a\n": "b"}, "printable"),
        ({"a": " "}, "printable"),
        ({str(n): "m" for n in range(1025)}, "at most 1024"),
    ],
)
def test_what_cannot_be_is_said(given: dict[Any, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"^models: ") as error:
        parse_rules(given)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["a", "=b", "a=", "", " = "])
def test_an_alias_has_two_sides(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^alias: expected NAME=MODEL"):
        parse_rules({}, [text])


def test_a_name_is_said_once() -> None:
    with pytest.raises(ConfigError, match=r"^alias: 'a' is said what it means twice"):
        parse_rules({"a": "b"}, ["a=c"])


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=5), inner),
)


@given(st.dictionaries(st.text(max_size=5) | st.floats(), _JSON, max_size=5))
def test_whatever_is_given_is_rules_or_an_error_in_words(given: dict[Any, Any]) -> None:
    try:
        found = parse_rules(given)
    except ConfigError:
        return
    for name in found.by_name if found is not None else ():
        assert found is not None and found.meanings(name)
