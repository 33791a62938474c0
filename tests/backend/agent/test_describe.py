from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agent import describe
from backend.agent.describe import Details, ModelEntry, ModelList
from balancer.wire.control import Model

LISTED = ModelList([ModelEntry("a", "vllm", 4096), ModelEntry("b", "vllm")])
READERS = (
    describe.model_list, describe.version, describe.llamacpp_details, lambda body: describe.ollama_details("1", body)
)  # fmt: skip


def test_the_owner_of_the_models_tells_the_engine() -> None:
    assert LISTED.owner == "vllm"
    assert ModelList([ModelEntry("a", "library")]).owner is None


def test_models_carry_the_context_that_is_known_best() -> None:
    assert describe.models(LISTED, Details(), ()) == (Model("a", 4096), Model("b"))
    assert describe.models(LISTED, Details(context_length=2048), ()) == (Model("a", 2048), Model("b", 2048))
    assert describe.models(LISTED, Details(context_lengths={"b": 64}), ("b",)) == (Model("b", 64),)


def test_names_that_can_not_be_registered_and_too_many_are_left_out() -> None:
    listed = ModelList([ModelEntry(""), ModelEntry("a\n"), ModelEntry("x" * 257), ModelEntry("ok", "", -1)])
    assert describe.models(listed, Details(), ()) == (Model("ok"),)
    assert len(describe.models(ModelList([ModelEntry(str(n)) for n in range(999)]), Details(), ())) == 256


def test_llamacpp_tells_its_slots_and_their_context() -> None:
    body = b'{"total_slots":3,"default_generation_settings":{"n_ctx":2048},"build_info":"b8681"}'
    assert describe.llamacpp_details(body) == Details("b8681", 3, 2048)
    assert describe.llamacpp_details(b'{"total_slots":0}') == Details()
    assert describe.llamacpp_details(b'{"props":1}') is None


def test_ollama_tells_the_context_of_what_is_loaded() -> None:
    loaded = b'{"models":[{"name":"q:1b","context_length":4096},{"name":"old"}]}'
    assert describe.ollama_details("0.12", loaded) == Details("0.12", context_lengths={"q:1b": 4096})


@pytest.mark.parametrize(
    ("engine", "details", "slots"),
    [("llamacpp", Details(slots=3), 3), ("ollama", Details(), 4), ("vllm", Details(), 256), ("openai", Details(), 256)],
)
def test_slots(engine: str, details: Details, slots: int) -> None:
    assert describe.slots(engine, details) == slots


def test_abilities_are_those_that_resuming_needs() -> None:
    assert describe.abilities("vllm") == ("continue_final_message", "token_ids")
    assert describe.abilities("sglang") == ("continue_final_message",)
    assert describe.abilities("ollama") == ()


@given(st.binary(max_size=200))
def test_bytes_at_random_say_nothing(body: bytes) -> None:
    for read in READERS:
        read(body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(
    st.sampled_from(["data", "models", "id", "name", "version", "total_slots", "default_generation_settings", "n_ctx",
                     "context_length", "max_model_len", "owned_by", "build_info"]), v), max_leaves=12))  # fmt: skip
def test_json_of_any_shape_gives_only_what_can_be_registered(value: object) -> None:
    body = msgspec.json.encode(value)
    for read in READERS:
        read(body)
    if (listed := describe.model_list(body)) is not None:
        describe.models(listed, describe.llamacpp_details(body) or Details(), ())


def test_nesting_without_end_says_nothing() -> None:
    assert describe.model_list(b'{"data":' + b"[" * 100_000) is None
