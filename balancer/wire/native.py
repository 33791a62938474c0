"""The native protocol: one JSON object a line, many requests at once on a connection, told apart by ``id``.

Made to be typed by hand: ``echo '{"prompt":"Once upon a time"}' | nc -N localhost 1234`` streams an answer.
docs/protocol.md describes it for people who write a client in another language.

Client to balancer: `parse_line` -> `Ask` | `Cancel` | `Wrong` | `Control`.
Balancer to client: the ``*_line`` builders; `parse_reply` reads them on the client's side.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object
from balancer.wire.limits import ID_MAX_BYTES
from balancer.wire.native_messages import Ask, BadLine, Cancel, Control, Done, Reply, RequestId, Wrong

__all__ = [
    "CACHE_CONTROLS", "DEADLINE_MAX_S", "KEEPALIVE", "TEXT_END", "Ask", "BadLine", "Cancel", "Control", "Done", "Reply",
    "RequestId", "Wrong", "ask_line", "cancel_line", "chunk_line", "done_line", "error_line", "parse_line",
    "parse_reply", "queued_line", "resumed_line", "text_head", "text_line", "wrong_line", "wronged_line",
]  # fmt: skip

CACHE_CONTROLS: Final = frozenset({"default", "bypass", "only", "refresh"})
DEADLINE_MAX_S: Final = 3600.0
TEXT_END: Final = b"}\n"
"""What stands behind the text, which is a JSON string, of every text line."""
KEEPALIVE: Final = b"\n"
"""A blank line, sent while nothing else is, so that a write tells whether the client still lives."""

_ID_MIN: Final = -(1 << 63)
_ID_MAX: Final = (1 << 63) - 1
_OPTIONS: Final = frozenset(
    {"cache", "deadline_s", "first_token_s", "between_tokens_s", "resume", "fallback", "explain"}
)
"""Beside ``id`` and ``key`` what is ours, and most requests go without."""
_CONTROL_KINDS: Final = ("register", "prove", "beat", "drain", "leave")
_encode = msgspec.json.encode


def parse_line(line: bytes) -> Ask | Cancel | Wrong | Control | None:
    """Read one line from a client or an agent; ``None`` for a blank one.

    Raises `BadLine`. The connection lives on: each line stands for itself.
    """
    if not line or line.isspace():
        return None
    try:
        message = decode_object(line)
    except RemoteProtocolError as error:
        expected = "" if line.lstrip().startswith(b"{") else "; expected a JSON object, HTTP, CLIENT| or REGISTER|"
        raise BadLine(error.code, f"the line can't be read: {error.message}{expected}") from None
    if "prompt" in message or "messages" in message:
        return _ask(message)
    if "cancel" in message:
        return Cancel(_checked_id(message["cancel"]))
    if "wrong" in message:
        return _wrong(message)
    for kind in _CONTROL_KINDS:
        if kind in message:
            return Control(kind, message[kind], line)
    raise BadLine("unknown_message", 'no known message: expected "prompt", "messages", "cancel" or "wrong"')


def _wrong(message: dict[str, Any]) -> Wrong:
    entry, key = message["wrong"], message.get("key")
    if not isinstance(entry, str) or not isinstance(key, str | None):
        raise BadLine("invalid_wrong", '"wrong" takes the "entry" that `done` told')
    return Wrong(entry, key)


def _ask(message: dict[str, Any]) -> Ask:
    ask_id = _checked_id(message.pop("id", None))
    if "prompt" in message and "messages" in message:
        raise BadLine("prompt_and_messages", 'give "prompt" or "messages", not both', id=ask_id)
    _check_content(message, ask_id)
    key = message.pop("key", None)
    if key is not None and not isinstance(key, str):
        raise BadLine("invalid_key", '"key" must be a string', id=ask_id)
    if _OPTIONS.isdisjoint(message):
        return Ask(ask_id, message, key)
    cache = message.pop("cache", "default")
    resume = message.pop("resume", True)
    if not isinstance(cache, str) or cache not in CACHE_CONTROLS:
        raise BadLine("invalid_cache", f'"cache" must be one of {", ".join(sorted(CACHE_CONTROLS))}', id=ask_id)
    fallback, explain = message.pop("fallback", True), message.pop("explain", False)
    for name, given in (("resume", resume), ("fallback", fallback), ("explain", explain)):
        if not isinstance(given, bool):
            raise BadLine(f"invalid_{name}", f'"{name}" must be true or false', id=ask_id)
    deadline_s = _seconds(message, "deadline_s", ask_id)
    first_token_s = _seconds(message, "first_token_s", ask_id)
    between_tokens_s = _seconds(message, "between_tokens_s", ask_id)
    return Ask(ask_id, message, key, cache, deadline_s, first_token_s, between_tokens_s, resume, fallback, explain)


def _seconds(message: dict[str, Any], name: str, ask_id: RequestId) -> float | None:
    value = message.pop(name, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadLine("invalid_deadline", f'"{name}" must be a positive number of seconds', id=ask_id)
    return float(min(value, DEADLINE_MAX_S))  # in this order: a huge integer is no float


def _check_content(message: dict[str, Any], ask_id: RequestId) -> None:
    if "prompt" in message:
        prompt = message["prompt"]
        if not isinstance(prompt, str | list):
            raise BadLine("invalid_prompt", '"prompt" must be a string', id=ask_id)
        if not prompt or (isinstance(prompt, str) and prompt.isspace()):
            raise BadLine("empty_prompt", "the prompt is empty", id=ask_id)
        return
    messages = message["messages"]
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        raise BadLine("invalid_messages", '"messages" must be a list of objects', id=ask_id)
    if not messages:
        raise BadLine("empty_prompt", '"messages" is empty', id=ask_id)


def _checked_id(value: object) -> RequestId:
    if value is None:
        return None
    if type(value) is int and _ID_MIN <= value <= _ID_MAX:
        return value
    if isinstance(value, str) and len(value.encode()) <= ID_MAX_BYTES:
        return value
    raise BadLine("invalid_id", f"an id is a 64-bit integer or a string of at most {ID_MAX_BYTES} bytes")


def _head(id: RequestId) -> bytes:
    return b"{" if id is None else b'{"id":' + _encode(id) + b","


def text_head(id: RequestId) -> bytes:
    """What stands before the text of every text line of one request: made once a request, not once a token."""
    return _head(id) + b'"text":'


def text_line(head: bytes, text: str) -> bytes:
    """A piece of the answer; ``head`` is from `text_head`."""
    return head + _encode(text) + TEXT_END


def chunk_line(id: RequestId, chunk: bytes) -> bytes:
    """An OpenAI chunk that is more than text (tools, logprobs, n > 1); ``chunk`` is its JSON, passed on as it is.

    An event may carry JSON on several lines; here each would pass for a message, so they become one.
    """
    return _head(id) + b'"chunk":' + chunk.replace(b"\n", b" ") + b"}\n"


def queued_line(id: RequestId, position: int) -> bytes:
    """The request waits; ``position`` 1 is next."""
    return _head(id) + b'"queued":{"position":%d}}\n' % position


def resumed_line(id: RequestId, fields: dict[str, Any]) -> bytes:
    """The answer goes on, made by another backend."""
    return _head(id) + b'"resumed":' + _encode(fields) + b"}\n"


def done_line(id: RequestId, done: Done | dict[str, Any]) -> bytes:
    """The answer is complete, or (with fewer fields) was cancelled."""
    return _head(id) + b'"done":' + _encode(done) + b"}\n"


def error_line(
    id: RequestId, *, type: str, code: str, message: str, retry_after_s: float | None = None, explain: str = ""
) -> bytes:
    """The request failed, or (without id) a line could not be read. ``explain`` is JSON already."""
    fields: dict[str, Any] = {"type": type, "code": code, "message": message}
    if retry_after_s is not None:
        fields["retry_after_s"] = retry_after_s
    if explain:
        fields["explain"] = msgspec.Raw(explain.encode())
    return _head(id) + b'"error":' + _encode(fields) + b"}\n"


def ask_line(id: RequestId, body: dict[str, Any], **own: Any) -> bytes:
    """A client's request line; ``own``: key, cache, deadline_s, left out where ``None``."""
    message = {k: v for k, v in (("id", id), *own.items()) if v is not None}
    return _encode({**message, **body}) + b"\n"


def wrong_line(entry: str, key: str | None = None) -> bytes:
    """A client says that this entry of the cache answered wrongly."""
    return _encode({"wrong": entry} if key is None else {"wrong": entry, "key": key}) + b"\n"


def wronged_line(entry: str, forgotten: bool) -> bytes:
    """The answer to that: whether there was such an entry, which is forgotten now."""
    return b'{"wrong":' + _encode({"entry": entry, "forgotten": forgotten}) + b"}\n"


def cancel_line(id: RequestId) -> bytes:
    return b'{"cancel":' + _encode(id) + b"}\n"


_reply_decoder = msgspec.json.Decoder(Reply)


def parse_reply(line: bytes) -> Reply | None:
    """Read one line from the balancer; ``None`` for a blank one. Raises `RemoteProtocolError`."""
    if not line or line.isspace():
        return None
    try:
        return _reply_decoder.decode(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("bad_reply", f"the balancer sent a line that is no reply: {error}") from None
