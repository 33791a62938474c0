"""The native protocol: one JSON object a line, many requests at once on a connection, told apart by ``id``.

Made to be typed by hand: ``echo '{"prompt":"Once upon a time"}' | nc -N localhost 1234`` streams an answer.
docs/protocol.md describes it for people who write a client in another language.

Client to balancer: `parse_line` -> `Ask` | `Cancel` | `Control`.
Balancer to client: the ``*_line`` builders; `parse_reply` reads them on the client's side.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object
from balancer.wire.limits import ID_MAX_BYTES

RequestId = int | str | None
"""``None`` where the client gave none: that connection's requests then run one by one."""

CACHE_CONTROLS: Final = frozenset({"default", "bypass", "only", "refresh"})
DEADLINE_MAX_S: Final = 3600.0
KEEPALIVE: Final = b"\n"
"""A blank line, sent while nothing else is, so that a write tells whether the client still lives."""

_ID_MIN: Final = -(1 << 63)
_ID_MAX: Final = (1 << 63) - 1
_OWN_FIELDS: Final = frozenset({"id", "key", "cache", "deadline_s", "first_token_s", "between_tokens_s", "resume"})
_CONTROL_KINDS: Final = ("register", "prove", "beat", "drain", "leave")
_encode = msgspec.json.encode


class Ask(msgspec.Struct, frozen=True):
    """One request. ``body`` holds what the backend shall get: ``prompt`` or ``messages`` and any OpenAI field."""

    id: RequestId
    body: dict[str, Any]
    key: str | None = None
    cache: str = "default"
    deadline_s: float | None = None
    first_token_s: float | None = None
    between_tokens_s: float | None = None
    resume: bool = True
    """Another backend may go on with the answer."""


class Cancel(msgspec.Struct, frozen=True):
    """Stop the request with this id."""

    id: RequestId


class Control(msgspec.Struct, frozen=True):
    """A line of a backend's agent: `balancer.wire.control` knows its fields."""

    kind: str
    fields: Any
    line: bytes


class BadLine(RemoteProtocolError):
    """A line that can't be served. ``id`` is set where the line had one, so that the answer can carry it."""

    def __init__(self, code: str, message: str, *, id: RequestId = None) -> None:
        super().__init__(code, message)
        self.id = id


def parse_line(line: bytes) -> Ask | Cancel | Control | None:
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
    for kind in _CONTROL_KINDS:
        if kind in message:
            return Control(kind, message[kind], line)
    raise BadLine("unknown_message", 'no known message: expected "prompt", "messages" or "cancel"')


def _ask(message: dict[str, Any]) -> Ask:
    ask_id = _checked_id(message.get("id"))
    key = message.get("key")
    cache = message.get("cache", "default")
    resume = message.get("resume", True)
    if key is not None and not isinstance(key, str):
        raise BadLine("invalid_key", '"key" must be a string', id=ask_id)
    if not isinstance(cache, str) or cache not in CACHE_CONTROLS:
        raise BadLine("invalid_cache", f'"cache" must be one of {", ".join(sorted(CACHE_CONTROLS))}', id=ask_id)
    if not isinstance(resume, bool):
        raise BadLine("invalid_resume", '"resume" must be true or false', id=ask_id)
    deadline_s, first_token_s, between_tokens_s = (
        _seconds(message, name, ask_id) if name in message else None
        for name in ("deadline_s", "first_token_s", "between_tokens_s")
    )
    if "prompt" in message and "messages" in message:
        raise BadLine("prompt_and_messages", 'give "prompt" or "messages", not both', id=ask_id)
    _check_content(message, ask_id)
    body = {name: value for name, value in message.items() if name not in _OWN_FIELDS}
    return Ask(ask_id, body, key, cache, deadline_s, first_token_s, between_tokens_s, resume)


def _seconds(message: dict[str, Any], name: str, ask_id: RequestId) -> float | None:
    value = message[name]
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
    if isinstance(value, int) and not isinstance(value, bool) and _ID_MIN <= value <= _ID_MAX:
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
    return head + _encode(text) + b"}\n"


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


def done_line(id: RequestId, fields: dict[str, Any]) -> bytes:
    """The answer is complete; ``fields``: finish_reason, model, backend, cache, similarity, usage, ..."""
    return _head(id) + b'"done":' + _encode(fields) + b"}\n"


def error_line(id: RequestId, *, type: str, code: str, message: str, retry_after_s: float | None = None) -> bytes:
    """The request failed, or (without id) a line could not be read."""
    fields: dict[str, Any] = {"type": type, "code": code, "message": message}
    if retry_after_s is not None:
        fields["retry_after_s"] = retry_after_s
    return _head(id) + b'"error":' + _encode(fields) + b"}\n"


def ask_line(id: RequestId, body: dict[str, Any], **own: Any) -> bytes:
    """A client's request line; ``own``: key, cache, deadline_s, left out where ``None``."""
    message = {k: v for k, v in (("id", id), *own.items()) if v is not None}
    return _encode({**message, **body}) + b"\n"


def cancel_line(id: RequestId) -> bytes:
    return b'{"cancel":' + _encode(id) + b"}\n"


class Reply(msgspec.Struct, frozen=True):
    """A line from the balancer, as a client reads it: one of the fields beside ``id`` is set.

    No field is set in a message of a kind that this reader doesn't know; a client passes over it.
    """

    id: int | str | None = None
    text: str | None = None
    chunk: msgspec.Raw = msgspec.Raw(b"")
    """Its JSON; empty where there is none."""
    queued: dict[str, Any] | None = None
    resumed: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


_reply_decoder = msgspec.json.Decoder(Reply)


def parse_reply(line: bytes) -> Reply | None:
    """Read one line from the balancer; ``None`` for a blank one. Raises `RemoteProtocolError`."""
    if not line or line.isspace():
        return None
    try:
        return _reply_decoder.decode(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("bad_reply", f"the balancer sent a line that is no reply: {error}") from None
