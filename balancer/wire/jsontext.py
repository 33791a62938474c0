"""Reading a request's JSON: one object, in bounded depth."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import JSON_BRACKETS_MAX, JSON_DEPTH_MAX

_COUNTED_FROM_BYTES: Final = 256 << 10
"""Shorter texts hold few more brackets than are allowed."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b'[{"'))
_decoder = msgspec.json.Decoder()
_TAIL_BYTES: Final = 64
_LONE_AT_END: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\)[^\\]*\}\s*\Z")
"""The first half of a pair (RFC 8259, 7) so near the end that the decoder calls the whole truncated."""

encode_sorted = msgspec.json.Encoder(order="deterministic").encode
"""What `decode_object` gave, as bytes: equal values as equal bytes, whatever the order of an object's members."""


def decode_object(data: bytes) -> dict[str, Any]:
    """One JSON object; of a key that comes twice the last value counts.

    Raises `RemoteProtocolError` (``not_json``) for anything else, invalid UTF-8 and lone surrogates included, so what
    this gives can be encoded again. Depth is bounded here because whoever encodes it stands deeper in Python's stack;
    the number of objects and lists (``too_many_objects``), because a long text could make millions.
    """
    if len(data) > _COUNTED_FROM_BYTES and _brackets(data) > JSON_BRACKETS_MAX:
        raise RemoteProtocolError("too_many_objects", f"more than {JSON_BRACKETS_MAX} objects and lists in one request")
    try:
        value = _decoder.decode(data)
    except ValueError as error:
        why = "a lone surrogate" if _LONE_AT_END.search(data[-_TAIL_BYTES:]) else str(error)
        raise RemoteProtocolError("not_json", f"not a JSON object: {why}") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise RemoteProtocolError("not_json", "not a JSON object")
    # Few brackets can't be deep: counting them is far cheaper than a walk.
    if data.count(b"[") + data.count(b"{") > JSON_DEPTH_MAX and _deeper_than(value, JSON_DEPTH_MAX):
        raise _too_deep()
    return value


def _brackets(data: bytes) -> int:
    """How many objects and lists begin, at most. A prompt that quotes code or JSON is full of brackets that do not."""
    count = data.count(b"[") + data.count(b"{")
    if count <= JSON_BRACKETS_MAX:
        return count
    # In JSON a backslash stands in strings alone; without those and what they escape, each quote begins or ends one.
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = unescaped.translate(None, _NO_BRACKETS).replace(b'""', b"")
    return sum(map(len, marks.split(b'"')[::2]))


def _deeper_than(value: object, depth_max: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth_max):
        # Exact types are what the decoder makes, and cost half as much to tell apart as `isinstance`.
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _too_deep() -> RemoteProtocolError:
    return RemoteProtocolError("not_json", f"the JSON is nested deeper than {JSON_DEPTH_MAX} levels")
