"""The journal of answers that pass through unread: embeddings and responses.

Nothing of them is cached, continued or gathered, so nothing is kept but the end, where most engines tell the usage.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from balancer.exchange.journal import Answer, Journal
from balancer.wire.continuation import Begun
from balancer.wire.openai import PASSED_ENDPOINTS

UNREAD: Final = PASSED_ENDPOINTS
"""The endpoints whose answers these are."""
_TAIL_BYTES: Final = 4 << 10
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Skips through the JSON and makes nothing of it: a millisecond a megabyte."""
_PROMPT: Final = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*(\d{1,9})\b')
_COMPLETION: Final = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*(\d{1,9})\b')


class Unread(Journal):
    """Takes the place of a journal."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        super().__init__()
        self._tail = b""

    def add(self, events: bytes) -> None:
        self._tail = events[-_TAIL_BYTES:]

    def add_whole(self, body: bytes) -> None:
        """Raises `ValueError` for what cannot be an answer at all, and for one that is cut short."""
        if body[:64].lstrip()[:1] != b"{":
            raise ValueError("no JSON object")
        try:
            _check(body)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        self._tail = body[-_TAIL_BYTES:]

    def answer(self) -> Answer | None:
        return None

    def begun(self) -> Begun | None:
        return None

    def usage(self) -> tuple[int, int] | None:
        prompt, completion = _PROMPT.findall(self._tail), _COMPLETION.findall(self._tail)
        return (int(prompt[-1]), int(completion[-1]) if completion else 0) if prompt else None
