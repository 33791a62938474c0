from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.model_list import Listing, abilities_of, model_body, models_body, parse_listing


def listed(*models: Mapping[str, object]) -> Listing:
    return parse_listing(json.dumps({"object": "list", "data": models}).encode())


def test_models_come_with_their_lengths_where_they_are_told() -> None:
    found = listed({"id": "m", "max_model_len": 2048}, {"id": "k"}, {"id": "n", "max_model_len": None})
    assert found == Listing({"m": 2048, "k": None, "n": None}, "")


@pytest.mark.parametrize("length", [0, -1, True, "2048", 2.5, [1]])
def test_a_length_that_is_none_is_left_out(length: object) -> None:
    assert listed({"id": "m", "max_model_len": length}).models == {"m": None}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llamacpp"])
def test_engines_name_themselves(engine: str) -> None:
    assert listed({"id": "m", "owned_by": engine}, {"id": "adapter", "owned_by": engine}).engine == engine


@pytest.mark.parametrize("owners", [("openai",), ("vllm", "openai"), (7,), (None,), ({"a": 1},), ()])
def test_others_are_nobody_in_particular(owners: tuple[object, ...]) -> None:
    assert listed(*({"id": str(n), "owned_by": owner} for n, owner in enumerate(owners))).engine == ""


def test_what_an_engine_can_do_is_known_by_its_name() -> None:
    assert abilities_of("vllm") == {"continue_final_message", "token_ids"}
    assert abilities_of("sglang") == {"continue_final_message"}
    assert abilities_of("llamacpp") == abilities_of("") == frozenset()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data":{}}', b'{"data":[{"id":7}]}', b"[" * 10_000])
def test_anything_else_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_listing(body)


@given(st.binary(max_size=60))
def test_no_bytes_do_harm(body: bytes) -> None:
    try:
        parse_listing(body)
    except ValueError:
        return
    assert b"data" in body


def test_a_very_long_list_is_cut() -> None:
    assert len(listed(*({"id": str(n)} for n in range(5000))).models) == 4096


def test_our_own_list_of_models_is_read_back_as_it_was() -> None:
    models = {"a": 1024, "b": None}
    assert parse_listing(models_body(models, 1)).models == models


def test_one_model_is_described_as_in_the_list() -> None:
    listed = json.loads(models_body({"a": 1024}, 5))["data"][0]
    assert json.loads(model_body("a", 1024, 5)) == listed
    assert (listed["id"], listed["max_model_len"], listed["created"]) == ("a", 1024, 5)


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\r\nINFO all is well", "a\x1b[2J", "a\x7f", "a\u2028b", "a\u202eb", "x" * 513]
)
def test_a_name_that_cannot_be_printed_is_left_out(name: str) -> None:
    assert listed({"id": name}, {"id": "Größe/7B v2"}).models == {"Größe/7B v2": None}


def test_our_own_backend_tells_what_it_can_do_and_a_balancer_does_not() -> None:
    told = parse_listing(models_body({"a": None, "b": 7}, 1, ("continue_from", "token_ids", "unheard_of")))
    assert told.abilities == {"continue_from", "token_ids"} and told.engine == ""
    assert parse_listing(models_body({"a": None}, 1)).abilities == frozenset()


@pytest.mark.parametrize("abilities", [None, 7, "token_ids", {"token_ids": 1}, [7, ["token_ids"]], []])
def test_abilities_of_another_shape_are_none(abilities: object) -> None:
    assert listed({"id": "m", "abilities": abilities}).abilities == frozenset()


def test_only_what_is_told_with_every_model_is_the_servers() -> None:
    assert listed({"id": "m", "abilities": ["token_ids"]}, {"id": "k"}).abilities == frozenset()
