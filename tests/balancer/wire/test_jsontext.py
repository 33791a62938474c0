from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object
from balancer.wire.limits import JSON_DEPTH_MAX

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
