"""What page and bridge say to each other: JSON, one object a message. Pure.

Page to bridge:   ``{"id":1,"question":"...","turns":[{"question":"...","answer":"..."}]}`` , ``{"cancel":1}``,
                  and ``{"wrong":"ENTRY"}``: this cache entry, which a ``done`` has told, answered wrongly.
Bridge to page:   ``{"id":1, ...}`` with one of ``queued`` (position), ``text``, ``resumed`` (true),
                  ``dropped`` (how many of the oldest turns no longer count), and at the end ``done`` or ``error``.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec

from client import (
    BackendFailed,
    Busy,
    CannotConnect,
    ClientError,
    ConnectionLost,
    ContextTooLong,
    Done,
    SlowReader,
    Timing,
)
from frontend.limits import QUESTION_MAX_CHARS


class PageTurn(msgspec.Struct, forbid_unknown_fields=True):
    question: str
    answer: str


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """A question with the turns before it, oldest first."""

    id: int
    question: str
    turns: list[PageTurn] = []


class Cancel(msgspec.Struct, forbid_unknown_fields=True):
    """Stop the answer with this id."""

    cancel: int


class Wrong(msgspec.Struct, forbid_unknown_fields=True):
    """The answer that came from this entry of the cache is wrong."""

    wrong: str


class BadMessage(Exception):
    """A message that is none of ours; the text is for people and quotes nothing of it."""


_question = msgspec.json.Decoder(Question)
_others = (msgspec.json.Decoder(Cancel), msgspec.json.Decoder(Wrong))
_encode = msgspec.json.encode


def parse(message: str) -> Question | Cancel | Wrong:
    """Read a page's message. Raises `BadMessage`."""
    for decoder in _others:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return decoder.decode(message)
    try:
        question = _question.decode(message)
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage("this is no message the bridge knows") from None
    if not question.question.strip():
        raise BadMessage("the question is empty")
    if len(question.question) > QUESTION_MAX_CHARS:
        raise BadMessage(f"the question is longer than {QUESTION_MAX_CHARS} characters")
    return question


def reply(id: int | None, kind: str, value: Any) -> str:
    """A message to the page."""
    return _encode({"id": id, kind: value}).decode()


def done_fields(done: Done, timing: Timing) -> dict[str, Any]:
    """What the quiet line under an answer shows."""
    return {
        "finish_reason": done.finish_reason,
        "model": done.model,
        "backend": done.backend,
        "cache": done.cache,
        "similarity": done.similarity,
        "entry": done.entry,
        "tokens": timing.tokens,
        "ttft_s": timing.ttft_s,
        "total_s": timing.total_s,
        "tokens_per_s": timing.tokens_per_s,
    }


_WORDS: Final[tuple[tuple[type[ClientError], str], ...]] = (
    (CannotConnect, "The balancer can't be reached. Is it running?"),
    (ConnectionLost, "The connection to the balancer was lost, so this answer is not complete."),
    (SlowReader, "This page read the answer too slowly."),
    (ContextTooLong, "This question is too long for the model."),
)


def error_fields(error: ClientError) -> dict[str, Any]:
    """An error for people: what happened and, where it helps, when to try again."""
    message = next((words for kind, words in _WORDS if isinstance(error, kind)), None)
    if message is None:
        text = error.message[:500]
        message = text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
    retry = isinstance(error, Busy | BackendFailed | ConnectionLost)
    return {"code": error.code, "message": message, "retry": retry, "retry_after_s": error.retry_after_s}
