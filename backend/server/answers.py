"""What an engine yields, as bodies and events of the OpenAI dialect.

What does not change within a stream is encoded once; a token then costs one JSON string and one join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backend.engines.base import Piece, Usage
from backend.server.params import CHAT
from balancer.wire.openai import error_body
from balancer.wire.sse import DONE, event

_encode = msgspec.json.encode


class AnswerHead:
    """Who answers: what every body and event of one exchange has in common."""

    __slots__ = ("_chat", "_fields")

    def __init__(self, endpoint: str, id: str, model: str, created: int) -> None:
        self._chat = endpoint == CHAT
        self._fields: dict[str, Any] = {"id": id, "created": created, "model": model}

    def body(self, text: str, token_ids: Sequence[int] | None, last: Piece, prompt_ids: Sequence[int] | None) -> bytes:
        """The whole answer of a request that did not stream; token ids of answer and prompt where they are given."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": last.finish_reason, "logprobs": None}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        body = {**self._fields, "object": "chat.completion" if self._chat else "text_completion", "choices": [choice]}
        if token_ids is not None:
            choice["token_ids"] = token_ids
        if prompt_ids is not None:
            (body if self._chat else choice)["prompt_token_ids"] = prompt_ids
        if last.usage is not None:
            body["usage"] = usage_fields(last.usage)
        return _encode(body)

    def events(self, prompt_ids: Sequence[int] | None, *, token_ids: bool) -> EventWriter:
        """For a request that streams; the first event tells ``prompt_ids``, all others their pieces' if asked to."""
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return EventWriter({**self._fields, "object": kind}, self._chat, prompt_ids, token_ids=token_ids)


class EventWriter:
    """The events of one stream."""

    __slots__ = ("_after", "_before", "_chat", "_fields", "_prompt_ids", "_tells_ids")

    def __init__(
        self, fields: dict[str, Any], chat: bool, prompt_ids: Sequence[int] | None, *, token_ids: bool
    ) -> None:
        self._fields = fields
        self._chat = chat
        self._prompt_ids = prompt_ids
        self._tells_ids = token_ids
        choice = b'{"index":0,"delta":{"content":' if chat else b'{"index":0,"text":'
        self._before = b"data: " + _encode(fields)[:-1] + b',"choices":[' + choice
        self._after = (b"}" if chat else b"") + b',"logprobs":null,"finish_reason":null'

    def first(self) -> bytes:
        """What goes before the first text: the role, and the prompt's token ids if they were asked for."""
        if not self._chat and self._prompt_ids is None:
            return b""
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": None}
        choice |= {"delta": {"role": "assistant", "content": ""}} if self._chat else {"text": ""}
        chunk = {**self._fields, "choices": [choice]}
        if self._prompt_ids is not None:
            (chunk if self._chat else choice)["prompt_token_ids"] = self._prompt_ids
        return event(_encode(chunk))

    def text(self, piece: Piece) -> bytes:
        """A piece of the answer."""
        ids = b',"token_ids":' + _encode(piece.token_ids) if self._tells_ids else b""
        return b"".join((self._before, _encode(piece.text), self._after, ids, b"}]}\n\n"))

    def last(self, piece: Piece, *, include_usage: bool) -> bytes:
        """The end: what text is left, finish reason, usage if asked for, ``[DONE]``."""
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": piece.finish_reason}
        if self._chat:
            choice["delta"] = {"content": piece.text} if piece.text else {}
        else:
            choice["text"] = piece.text
        if self._tells_ids:
            choice["token_ids"] = piece.token_ids
        parts = [event(_encode({**self._fields, "choices": [choice]}))]
        if include_usage and piece.usage is not None:
            parts.append(event(_encode({**self._fields, "choices": [], "usage": usage_fields(piece.usage)})))
        return b"".join((*parts, DONE))


def error_event(message: str, type: str, code: str) -> bytes:
    """An explicit error inside a stream, which then ends without ``[DONE]``."""
    return event(error_body(message, type, code))


def usage_fields(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
