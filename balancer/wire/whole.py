"""Answers in one piece, in the OpenAI dialect: read for the cache, or made from what was streamed or cached."""

from __future__ import annotations

from typing import Any

import msgspec

from balancer.wire.dialect import NULL, Usage, Whole, WholeChoice
from balancer.wire.openai import chunk_event, chunk_text, content_text, parse_chunk, streamed_choice
from balancer.wire.sse import DONE, each_event, event_data

_encode = msgspec.json.encode
_PLAIN_MESSAGE = frozenset({"role", "content"})
_decoder = msgspec.json.Decoder(Whole)


def whole_text(whole: Whole) -> str:
    """Of the first choice."""
    return content_of(whole.choices[0]) if whole.choices else ""


def content_of(choice: WholeChoice) -> str:
    """The text of a choice, whichever endpoint made it."""
    return content_text(choice.text if choice.message is None else choice.message.get("content"))


def is_plain_whole(whole: Whole) -> bool:
    """One choice of text and nothing else."""
    if len(whole.choices) != 1:
        return False
    choice = whole.choices[0]
    if choice.logprobs is not NULL and bytes(choice.logprobs) != b"null":
        return False
    message = choice.message
    if message is not None and isinstance(message.get("content"), list):
        return False  # parts: some may be no text
    if message is None or message.keys() <= _PLAIN_MESSAGE:
        return True
    return not any(value for name, value in message.items() if name not in _PLAIN_MESSAGE)


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
    return _body(endpoint, id, model, created, [_whole_choice(endpoint, 0, text, finish_reason)], usage)


def whole_as(whole: Whole, endpoint: str, id: str) -> bytes:
    """A whole answer of the other endpoint as one of this."""
    choices = [_whole_choice(endpoint, c.index, content_of(c), c.finish_reason) for c in whole.choices]
    return _body(endpoint, id, whole.model, int(whole.created), choices, whole.usage)


def _whole_choice(endpoint: str, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "finish_reason": finish_reason, "logprobs": None}
    if endpoint == "chat":
        return {**choice, "message": {"role": "assistant", "content": text}}
    return {**choice, "text": text}


def _body(
    endpoint: str, id: str, model: str, created: int, choices: list[dict[str, Any]], usage: Usage | None
) -> bytes:
    kind = "chat.completion" if endpoint == "chat" else "text_completion"
    body = {"id": id, "object": kind, "created": created, "model": model, "choices": choices}
    return _encode(body if usage is None else {**body, "usage": usage})


def without_usage(events: bytes) -> bytes:
    """The events, untouched, without the chunk that only tells usage: for clients that did not ask for it."""
    if b'"usage"' not in events:
        return events
    return b"".join(one for one in each_event(events) if b'"usage"' not in one or not _tells_usage_alone(one))


def _tells_usage_alone(one_event: bytes) -> bool:
    for data in event_data(one_event):
        try:
            chunk = parse_chunk(data)
        except ValueError:
            return False
        return chunk.usage is not None and not chunk.choices
    return False


def as_endpoint(events: bytes, endpoint: str, id: str, begun: set[int]) -> bytes:
    """Events of the one endpoint as those of the other: chat for completions, completions for chat.

    ``begun`` are the choices that have said something; it is kept up to date. Raises `ValueError` for what is no chunk.
    """
    converted = []
    for data in event_data(events):
        if data == b"[DONE]":
            converted.append(DONE)
            continue
        chunk = parse_chunk(data)
        choices = []
        for choice in chunk.choices:
            text, first = chunk_text(choice), choice.index not in begun
            if text or choice.finish_reason or first or choice.token_ids:
                begun.add(choice.index)
                reason = choice.finish_reason
                told = streamed_choice(endpoint, text, reason, index=choice.index, role=first)
                choices.append(told if choice.token_ids is None else {**told, "token_ids": choice.token_ids})
        if choices or chunk.usage is not None:
            converted.append(chunk_event(endpoint, id, chunk.model, int(chunk.created), choices, chunk.usage))
    return b"".join(converted)
