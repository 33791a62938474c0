"""OpenAI's responses, as far as a relay must know them: where a stream ends, and how it says that it broke.

Their events carry a ``type``; there is no ``[DONE]``. The last one is one of three, and an ``error`` event ends a
stream, too.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from balancer.wire.sse import event_data

_LAST: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
_LAST_WORD: Final = re.compile(rb"response\.(?:completed|failed|incomplete)\b")
_SEQUENCE: Final = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


class _Event(msgspec.Struct):
    type: str = ""
    message: Any = None
    code: Any = None
    error: Any = None


_decoder: Final = msgspec.json.Decoder(_Event)


def is_done(events: bytes) -> bool:
    """Whether the event that completes a response is among these."""
    if _LAST_WORD.search(events) is None:
        return False  # the common case; a text may hold these words, too
    return any(_decoded(data).type in _LAST for data in event_data(events))


def error_in(events: bytes) -> str | None:
    """What an error event among these says; ``None``: there is none."""
    if b'"error"' not in events:
        return None
    for data in event_data(events):
        found = _decoded(data)
        nested = found.error if isinstance(found.error, dict) else {}
        if found.type == "error" or (not found.type and nested):
            message = found.message or nested.get("message")
            return message if isinstance(message, str) else ""
    return None


def _decoded(data: bytes) -> _Event:
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError):
        return _Event()


def error_event(message: str, type: str, code: str | None, relayed: bytes) -> bytes:
    """The event that ends a broken stream; ``relayed`` are the events that came last before it.

    It has the fields of OpenAI's ``error`` event, and the error object besides: by that alone its clients raise.
    """
    numbers = _SEQUENCE.findall(relayed)
    error = {"message": message, "type": type, "param": None, "code": code}
    body = {
        "type": "error",
        "sequence_number": int(numbers[-1]) + 1 if numbers else 0,
        "code": code,
        "message": message,
        "param": None,
        "error": error,
    }
    return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"
