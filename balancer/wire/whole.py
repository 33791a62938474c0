"""Answers in one piece, in the OpenAI dialect: read for the cache, or made from what was streamed or cached."""

from __future__ import annotations

from typing import Any

import msgspec

from balancer.wire.openai import Usage, chunk_event, chunk_text, final_event, parse_chunk, text_event
from balancer.wire.sse import event, event_data

_encode = msgspec.json.encode
_NULL = msgspec.Raw(b"null")
_PLAIN_MESSAGE = frozenset({"role", "content"})


class _Choice(msgspec.Struct):
    index: int = 0
    message: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = _NULL


class Whole(msgspec.Struct):
    """An answer of chat or completions; fields that are not here are not read."""

    model: str = ""
    choices: list[_Choice] = []
    usage: Usage | None = None

    @property
    def plain(self) -> bool:
        """One choice of text and nothing else."""
        if len(self.choices) != 1 or bytes(self.choices[0].logprobs) != b"null":
            return False
        message = self.choices[0].message or {}
        return not any(value for name, value in message.items() if name not in _PLAIN_MESSAGE)

    @property
    def text(self) -> str:
        """Of the first choice."""
        if not self.choices:
            return ""
        choice = self.choices[0]
        content = choice.text if choice.message is None else choice.message.get("content")
        return content if isinstance(content, str) else ""

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None


_decoder = msgspec.json.Decoder(Whole)


def parse_whole(body: bytes) -> Whole:
    """Read an engine's whole answer. Raises `ValueError` for what is none."""
    try:
        whole = _decoder.decode(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not whole.choices:
        raise ValueError("an answer without choices")
    return whole


def whole_body(
    endpoint: str, id: str, model: str, created: int, text: str, finish_reason: str | None, usage: Usage | None
) -> bytes:
    """An answer in one piece; ``created`` in Unix seconds."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
    if endpoint == "chat":
        choice["message"] = {"role": "assistant", "content": text}
        kind = "chat.completion"
    else:
        choice["text"] = text
        kind = "text_completion"
    body = {"id": id, "object": kind, "created": created, "model": model, "choices": [choice]}
    return _encode(body if usage is None else {**body, "usage": usage})


def without_usage(events: bytes) -> bytes:
    """The events without the chunk that only tells usage: for clients that did not ask for it."""
    if b'"usage"' not in events:
        return events
    kept = []
    for data in event_data(events):
        if b'"usage"' in data and data != b"[DONE]":
            chunk = parse_chunk(data)
            if chunk.usage is not None and not chunk.choices:
                continue
        kept.append(event(data))
    return b"".join(kept)


def as_endpoint(events: bytes, endpoint: str, created: int) -> bytes:
    """Events of the one endpoint as those of the other: chat for completions, completions for chat."""
    converted = []
    for data in event_data(events):
        if data == b"[DONE]":
            converted.append(event(data))
            continue
        chunk = parse_chunk(data)
        for choice in chunk.choices:
            if text := chunk_text(choice):
                converted.append(text_event(endpoint, chunk.id, chunk.model, created, text))
            if choice.finish_reason:
                reason = choice.finish_reason
                converted.append(final_event(endpoint, chunk.id, chunk.model, created, reason))
        if chunk.usage is not None:
            converted.append(chunk_event(endpoint, chunk.id, chunk.model, created, [], chunk.usage))
    return b"".join(converted)
