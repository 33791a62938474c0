"""Reading a request's JSON: one object, in bounded depth."""

from __future__ import annotations

from typing import Any

import msgspec

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import JSON_DEPTH_MAX

_decoder = msgspec.json.Decoder()

encode_sorted = msgspec.json.Encoder(order="deterministic").encode
"""What `decode_object` gave, as bytes: equal values as equal bytes, whatever the order of an object's members."""


def decode_object(data: bytes) -> dict[str, Any]:
    """One JSON object; of a key that comes twice the last value counts.

    Raises `RemoteProtocolError` (``not_json``) for anything else, invalid UTF-8 and lone surrogates included, so what
    this gives can be encoded again. Depth is bounded here because whoever encodes it stands deeper in Python's stack.
    """
    try:
        value = _decoder.decode(data)
    except ValueError as error:
        raise RemoteProtocolError("not_json", f"not a JSON object: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise RemoteProtocolError("not_json", "not a JSON object")
    # Few brackets can't be deep: counting them is far cheaper than a walk.
    if data.count(b"[") + data.count(b"{") > JSON_DEPTH_MAX and _deeper_than(value, JSON_DEPTH_MAX):
        raise _too_deep()
    return value


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
