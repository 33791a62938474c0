"""An embedder that answers when the test says so: a text's vector is (its length, 0.5), its tokens are its words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from balancer.exchange.ports import Vector

DIMENSION = 2


class FakeEncoding:
    """One text at the embedder."""

    def __init__(self, text: str, callback: Callable[[Vector | None], None]) -> None:
        self.text = text
        self.tokens = 0
        self.cancelled = False
        self._callback = callback

    def answer(self) -> None:
        self.tokens = len(self.text.split())
        self._callback(np.array([len(self.text), 0.5], np.float32))

    def fail(self) -> None:
        self._callback(None)


class FakeEncoder:
    """``room``: so many texts it takes; those it has are in ``asked``."""

    def __init__(self, *, ready: bool = True, room: int = 1000) -> None:
        self.ready = ready
        self.failure: str | None = None
        self.room = room
        self.asked: list[FakeEncoding] = []

    @property
    def dimension(self) -> int | None:
        return DIMENSION if self.ready else None

    @property
    def tokens_max(self) -> int | None:
        return 256 if self.ready else None

    def encode(self, text: str, callback: Callable[[Vector | None], None]) -> FakeEncoding | None:
        if not self.ready or len(self.asked) >= self.room:
            return None
        self.asked.append(FakeEncoding(text, callback))
        return self.asked[-1]

    def cancel(self, ticket: FakeEncoding) -> None:
        ticket.cancelled = True
