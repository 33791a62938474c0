from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.keys import NEAR_TEXT_MAX_CHARS, NEVER_IN_KEY, CacheKeys, KeyRules, derive

Body = dict[str, Any]


def keys(body: Body, **change: Any) -> CacheKeys:
    defaults: dict[str, Any] = {"tenant": "t", "model": "m", "endpoint": "chat", "epoch": 0, "embedder_id": "e"}
    return derive(body, **(defaults | change))


def chat(text: Any = "Hello?", **fields: Any) -> Body:
    system = {"role": "system", "content": "Be kind."}
    return {"messages": [system, {"role": "user", "content": text}], **fields}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(
    st.sampled_from(
        ["messages", "prompt", "temperature", "seed", "n", "max_tokens", "max_completion_tokens", "tools", "logprobs"]
    )
    | st.text(max_size=6),
    json_values,
    max_size=6,
)


# What must be equal


def test_equal_requests_have_equal_keys() -> None:
    assert keys(chat()) == keys(chat())
    assert keys(chat()).exact is not None
    assert keys(chat()).scope is not None


def test_only_the_last_user_text_may_be_fuzzy() -> None:
    one, other = keys(chat("Hello?")), keys(chat("Hi there?"))
    assert one.scope == other.scope
    assert one.exact != other.exact
    assert (one.text, other.text) == ("Hello?", "Hi there?")


@pytest.mark.parametrize(
    "change",
    [{"tenant": "u"}, {"model": "m2"}, {"epoch": 1}, {"endpoint": "completions"}],
    ids=lambda change: next(iter(change)),
)
def test_another_tenant_model_epoch_or_endpoint_shares_neither_key(change: Body) -> None:
    one, other = keys(chat()), keys(chat(), **change)
    assert one.exact != other.exact
    assert one.scope != other.scope


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.1},
        {"temperature": 0},
        {"seed": 7},
        {"top_p": 0.5},
        {"stop": ["\n"]},
        {"response_format": {"type": "json_object"}},
        {"some_field_of_tomorrow": 1},
        {"messages": [{"role": "user", "content": "Hello?"}]},
        {"messages": [{"role": "system", "content": "Be rude."}, {"role": "user", "content": "Hello?"}]},
        {"messages": [{"role": "system", "content": "Be kind.", "name": "x"}, {"role": "user", "content": "Hello?"}]},
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?", "name": "x"}]},
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Tell me of whales."},
                {"role": "assistant", "content": "They swim."},
                {"role": "user", "content": "Hello?"},
            ]
        },
    ],
    ids=str,
)
def test_another_system_prompt_history_or_parameter_shares_neither_key(fields: Body) -> None:
    one, other = keys(chat()), keys(chat(**fields))
    assert None not in (other.exact, other.scope)
    assert one.exact != other.exact
    assert one.scope != other.scope


def test_tools_are_part_of_the_exact_key() -> None:
    hammer, saw = ([{"type": "function", "function": {"name": name}}] for name in ("hammer", "saw"))
    assert len({keys(chat()).exact, keys(chat(tools=hammer)).exact, keys(chat(tools=saw)).exact}) == 3


@pytest.mark.parametrize("field", sorted(NEVER_IN_KEY))
def test_fields_that_do_not_change_the_answer_are_in_no_key(field: str) -> None:
    assert keys(chat(**{field: "anything"})) == keys(chat())


def test_the_resolved_model_stands_in_place_of_the_body_s() -> None:
    assert keys(chat(model="m")) == keys(chat()) == keys(chat(model="an-alias"))


def test_the_user_is_in_the_key_only_where_asked_for() -> None:
    per_user = KeyRules(per_user=True)
    assert keys(chat(user="ann")) == keys(chat(user="bob"))
    assert keys(chat(user="ann"), rules=per_user).exact != keys(chat(user="bob"), rules=per_user).exact
    assert keys(chat(user="ann"), rules=per_user).scope != keys(chat(user="bob"), rules=per_user).scope


def test_the_order_of_fields_does_not_matter() -> None:
    assert keys({"seed": 1, **chat()}) == keys({**chat(), "seed": 1})


@pytest.mark.parametrize("one", [1, 1.0, True, "1", [1], {"1": 1}, None, 10**30])
@pytest.mark.parametrize("other", [1, 1.0, True, "1", [1], {"1": 1}, None, 10**30])
def test_values_of_different_types_differ(one: Any, other: Any) -> None:
    same = repr(one) == repr(other)
    assert (keys(chat(x=one)).exact == keys(chat(x=other)).exact) == same


def test_text_cannot_pass_for_structure() -> None:
    split = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert keys({"messages": split}).exact != keys({"messages": [{"role": "user", "content": "ab"}]}).exact
    assert keys(chat(""), tenant="t").exact != keys(chat(None), tenant="t").exact
    assert keys(chat("x"), tenant="ab", model="c").exact != keys(chat("x"), tenant="a", model="bc").exact


# The embedder


def test_the_embedder_is_in_the_scope_and_not_in_the_exact_key() -> None:
    one, other, none = (keys(chat(), embedder_id=embedder) for embedder in ("e1", "e2", None))
    assert one.exact == other.exact == none.exact
    assert one.scope != other.scope
    assert (none.scope, none.near_skip) == (None, "no_embedder")


# The limit on tokens


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 10}, 10),
        ({"max_tokens": 20, "max_completion_tokens": 10}, 10),
    ],
)
def test_a_token_limit_is_a_test_and_not_a_key(fields: Body, limit: int | None) -> None:
    found = keys(chat(**fields))
    assert found.max_tokens == limit
    assert replace(found, max_tokens=None) == keys(chat())


@pytest.mark.parametrize("bad", ["10", 10.5, -1, 0, True, [10]])
def test_what_is_no_token_limit_is_in_the_key(bad: Any) -> None:
    found = keys(chat(max_tokens=bad))
    assert found.max_tokens is None
    assert found.exact != keys(chat()).exact


# What is not cached, or only exactly


@pytest.mark.parametrize("temperature", [0.31, 1, 2.0, math.nan, math.inf, "0", True, [0]])
def test_a_warm_request_is_not_cached_without_seed(temperature: Any) -> None:
    found = keys(chat(temperature=temperature))
    assert (found.exact, found.scope, found.skip) == (None, None, "temperature")


def test_a_warm_request_with_seed_is_cached_exactly() -> None:
    found = keys(chat(temperature=0.9, seed=1))
    assert found.exact is not None
    assert (found.scope, found.near_skip) == (None, "temperature")
    assert found.exact != keys(chat(temperature=0.9, seed=2)).exact


@pytest.mark.parametrize("seed", [None, "1", True, 1.5])
def test_what_is_no_seed_does_not_help(seed: Any) -> None:
    assert keys(chat(temperature=0.9, seed=seed)).skip == "temperature"


def test_the_operator_chooses_the_temperature() -> None:
    assert keys(chat(temperature=0.3)).scope is not None
    assert keys(chat(temperature=0.9), rules=KeyRules(temperature_max=1.0)).scope is not None
    assert keys(chat(temperature=0.1), rules=KeyRules(temperature_max=0.0)).exact is None


@pytest.mark.parametrize(
    ("fields", "skip"),
    [
        ({"n": 2}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 0}, "logprobs"),
        ({"top_logprobs": 2}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello?"}, "messages"),
        ({"messages": ["Hello?"]}, "messages"),
        ({"prompt": "Hello?"}, "messages"),
    ],
    ids=str,
)
def test_what_an_entry_cannot_stand_for_is_not_cached(fields: Body, skip: str) -> None:
    found = keys(chat(**fields))
    assert (found.exact, found.scope, found.skip, found.near_skip) == (None, None, skip, skip)


def test_images_and_sounds_are_not_cached() -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
    assert keys(chat(parts)).skip == "not_text"


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2, 3], None, 7])
def test_several_prompts_and_token_ids_are_not_cached(prompt: Any) -> None:
    assert keys({"prompt": prompt}, endpoint="completions").skip == "prompt"


@pytest.mark.parametrize(
    ("body", "near_skip"),
    [
        (chat(tools=[{"type": "function"}]), "tools"),
        (chat(functions=[{"name": "f"}]), "functions"),
        (chat(echo=True), "echo"),
        (chat(""), "blank_text"),
        (chat(" \n"), "blank_text"),
        (chat("x" * (NEAR_TEXT_MAX_CHARS + 1)), "long_text"),
        (chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "not_one_text"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "not_one_text"),
    ],
)
def test_some_requests_are_cached_exactly_only(body: Body, near_skip: str) -> None:
    found = keys(body)
    assert found.exact is not None
    assert (found.scope, found.text, found.skip, found.near_skip) == (None, "", None, near_skip)


def test_a_single_text_part_may_be_near_others_of_its_form() -> None:
    one, other = (keys(chat([{"type": "text", "text": text}])) for text in ("Hello?", "Hi?"))
    assert one.scope == other.scope != keys(chat("Hello?")).scope
    assert one.text == "Hello?"
    assert one.exact != other.exact


def test_prompts_and_chats_are_different_questions_unless_the_prompt_becomes_a_chat() -> None:
    prompt, said = {"prompt": "Hello?"}, {"messages": [{"role": "user", "content": "Hello?"}]}
    assert keys(prompt, endpoint="completions").exact != keys(said, endpoint="chat").exact
    assert keys(prompt, endpoint="chat") == keys(said, endpoint="chat")
    assert keys(prompt, endpoint="completions").text == "Hello?"


# Any JSON


@given(bodies, st.booleans())
def test_any_body_has_keys_or_a_reason_and_is_left_as_it_was(body: Body, streaming: bool) -> None:
    before = copy.deepcopy(body)
    found = keys(body)
    assert repr(body) == repr(before)
    assert (found.exact is None) == (found.skip is not None)
    assert (found.scope is None) == (found.near_skip is not None)
    assert found.exact is not None or found.scope is None
    assert keys(dict(reversed(body.items()))) == found
    assert keys({**body, "stream": streaming}) == found


@given(bodies, bodies)
def test_different_requests_differ(one: Body, other: Body) -> None:
    ignored = NEVER_IN_KEY | {"user", "model", "max_tokens", "max_completion_tokens"}

    def seen(body: Body) -> str:
        return json.dumps({name: body[name] for name in sorted(body) if name not in ignored}, sort_keys=True)

    first, second = keys(chat() | one), keys(chat() | other)
    if None not in (first.exact, second.exact) and seen(chat() | one) != seen(chat() | other):
        assert first.exact != second.exact


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_texts_with_any_characters_have_their_own_key(one: str, other: str) -> None:
    assert (keys(chat(one)).exact == keys(chat(other)).exact) == (one == other)


def test_half_a_surrogate_pair_is_no_trouble() -> None:
    assert keys(chat("\ud800")).exact not in (None, keys(chat("\ud801")).exact, keys(chat("\\ud800")).exact)
    assert keys(chat(**{"\ud800": "\udfff"}), tenant="\ud800", embedder_id="\ud800").exact is not None


def test_a_body_of_any_depth_is_no_trouble() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert keys(chat(x=deep)).skip == "unkeyable"


def test_a_number_of_any_length_is_no_trouble() -> None:
    assert keys(chat(x=10**5000)).skip == "unkeyable"
