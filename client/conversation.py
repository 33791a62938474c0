"""The turns of a chat, and which to drop when they outgrow the model's context. Pure.

The whole history goes with every question: the balancer keeps none, and its cache can only tell two conversations
apart (or alike) by what they contain. How large the model's context is, a client learns in two ways: the balancer
refuses a prompt as too long, or an answer is cut short although nobody asked for a short one. From then on the oldest
turns are dropped, a question with its answer at a time, so that a quarter of the context is free for the next answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from client.events import Done

HISTORY_MAX_BYTES: Final = 160 << 10
"""What is kept in any case: six times as much, if JSON must escape all of it, still fits into a line of the wire."""

ROOM_FOR_ANSWER: Final = 0.25
"""The part of the context that a prompt leaves free."""

SHORT_ANSWER_TOKENS: Final = 32
"""An answer cut at fewer tokens, with no ``max_tokens`` that says so, was cut by the end of the context."""

_TURN_OVERHEAD_BYTES: Final = 16
"""Role and separators of one message, as the model sees them."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and the answer it got."""

    question: str
    answer: str

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.question) + size_bytes(self.answer)


def size_bytes(text: str) -> int:
    """What one message of this text takes, in bytes."""
    return len(text.encode("utf-8", "replace")) + _TURN_OVERHEAD_BYTES


class Conversation:
    """History within one session: `ask`, send `messages`, then `answered`, `abandon` or `overflowed` and again."""

    def __init__(self, *, system: str | None = None, turns: Sequence[Turn] = ()) -> None:
        self._system = system
        self._turns = list(turns)
        self._question: str | None = None
        self._limit_bytes = HISTORY_MAX_BYTES

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns that are still part of it, oldest first."""
        return tuple(self._turns)

    @property
    def messages(self) -> list[Message]:
        """Everything to send for the open question, in OpenAI's form."""
        messages: list[Message] = []
        if self._system is not None:
            messages.append({"role": "system", "content": self._system})
        for turn in self._turns:
            messages.append({"role": "user", "content": turn.question})
            messages.append({"role": "assistant", "content": turn.answer})
        if self._question is not None:
            messages.append({"role": "user", "content": self._question})
        return messages

    def resume(self, turns: Sequence[Turn]) -> None:
        """Go on from these turns, which someone else kept; what was learned stays."""
        self._turns = list(turns)
        self._question = None

    def ask(self, question: str) -> int:
        """Open a question; returns how many of the oldest turns had to go for it."""
        self._question = question
        return self._drop_to(self._limit_bytes)

    def overflowed(self) -> int:
        """The model's context is too small for this prompt: drop turns, at least one. 0 where none is left to drop."""
        self._limit_bytes = max(1, int(self._size_bytes() * (1 - ROOM_FOR_ANSWER)))
        return self._drop_to(self._limit_bytes) or self._drop(1)

    def answered(self, answer: str, done: Done | None = None, *, max_tokens: int | None = None) -> None:
        """Close the question with its answer. ``done`` tells where the context ended, if the answer was cut there."""
        prompt_bytes = self._size_bytes()
        if self._question is not None:
            self._turns.append(Turn(self._question, answer))
        self._question = None
        if done is not None and _context_ended(done.finish_reason, done.usage, max_tokens):
            self._limit_bytes = min(self._limit_bytes, max(1, int(prompt_bytes * (1 - ROOM_FOR_ANSWER))))

    def abandon(self) -> None:
        """Forget the open question: it got no answer worth keeping."""
        self._question = None

    def clear(self) -> None:
        """Start again; another model may have another context, so what was learned goes too."""
        self._turns.clear()
        self._question = None
        self._limit_bytes = HISTORY_MAX_BYTES

    def _size_bytes(self) -> int:
        own = sum(size_bytes(text) for text in (self._system, self._question) if text is not None)
        return own + sum(turn.size_bytes for turn in self._turns)

    def _drop_to(self, limit_bytes: int) -> int:
        size, drop = self._size_bytes(), 0
        while drop < len(self._turns) and size > limit_bytes:
            size -= self._turns[drop].size_bytes
            drop += 1
        return self._drop(drop)

    def _drop(self, count: int) -> int:
        dropped = min(count, len(self._turns))
        del self._turns[:dropped]
        return dropped


def _context_ended(finish_reason: str, usage: Mapping[str, Any], max_tokens: int | None) -> bool:
    made = usage.get("completion_tokens")
    return (
        finish_reason == "length"
        and isinstance(made, int)
        and made < SHORT_ANSWER_TOKENS
        and (max_tokens is None or made < max_tokens)
    )


def told(dropped: int) -> str:
    """What to tell a person whose oldest turns are gone."""
    turns = "turn" if dropped == 1 else f"{dropped} turns"
    return f"The conversation outgrew the model's context: the oldest {turns} no longer count."
