from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object
from balancer.wire.limits import JSON_BRACKETS_MAX, JSON_DEPTH_MAX

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> bytes:
    """An object ``depth`` containers deep."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@given(st.dictionaries(st.text(), values, max_size=5))
def test_reads_every_object(value: dict[str, object]) -> None:
    assert decode_object(json.dumps(value).encode("utf-8")) == value


@given(st.binary())
def test_bytes_at_random_are_an_object_or_an_error(data: bytes) -> None:
    try:
        value = decode_object(data)
    except RemoteProtocolError:
        return
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"[1]",
        b"1",
        b"null",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"a":"\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1}{"b":2}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":',
    ],
)
def test_anything_else_is_an_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        decode_object(data)
    assert raised.value.code == "not_json"


@pytest.mark.parametrize("depth", [JSON_DEPTH_MAX + 1, 500, 1_000, 100_000])
def test_too_deep_is_an_error(depth: int) -> None:
    for data in (nested(depth), b'{"a":' * depth + b"1" + b"}" * depth, b'{"a":' + b"[" * depth):
        with pytest.raises(RemoteProtocolError):
            decode_object(data)


def test_as_deep_as_allowed_is_fine_and_so_is_broad() -> None:
    assert decode_object(nested(JSON_DEPTH_MAX))
    broad = {"messages": [{"role": "user", "content": "[{" * 9}] * 1000}
    assert decode_object(json.dumps(broad).encode()) == broad


def test_brackets_inside_strings_are_not_depth() -> None:
    assert decode_object(b'{"a":"' + b"[" * 10_000 + b'"}') == {"a": "[" * 10_000}


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert decode_object(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\uD83Dx"', '"\\ud800\\u0041"', '"\\udc00"', '"\\ud800", "b": 1'])
def test_half_of_a_pair_of_surrogates_is_called_that(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="surrogate"):
        decode_object(f'{{"a":{text}}}\n'.encode())


def test_what_is_cut_short_is_called_that() -> None:
    for cut in (b'{"a":"\\ud800', b'{"a":"\\ud83d\\ude00}', b'{"a":'):
        with pytest.raises(RemoteProtocolError, match="truncated"):
            decode_object(cut)


LONG = "x" * (300 << 10)


@pytest.mark.parametrize("inner", [b"{}", b"[]", b'{"a":[]}', b'["]",{}]', b'"\\\\",[]', b'"\\"",[]'])
def test_more_objects_and_lists_than_anybody_needs_are_refused(inner: bytes) -> None:
    brackets = inner.count(b"{") + inner.count(b"[")
    for count, allowed in ((JSON_BRACKETS_MAX // brackets - 2, True), (JSON_BRACKETS_MAX // brackets + 1, False)):
        data = b'{"pad":"' + LONG.encode() + b'","many":[' + b",".join([inner] * count) + b"]}"
        if allowed:
            assert decode_object(data)
            continue
        with pytest.raises(RemoteProtocolError) as raised:
            decode_object(data)
        assert raised.value.code == "too_many_objects"


@given(st.text("[{\"\\n\u00e9'", min_size=1, max_size=20))
def test_a_prompt_that_quotes_them_is_no_such_thing(quoted: str) -> None:
    body = {"messages": [{"content": "[{" * JSON_BRACKETS_MAX}, {"content": quoted * 1000}], quoted: LONG}
    assert decode_object(json.dumps(body).encode()) == body
    assert decode_object(json.dumps(body, ensure_ascii=False).encode()) == body
