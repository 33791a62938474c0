"""An embedder that embeds when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from balancer.exchange.ports import Embedding, TokenVectors, Vector


class FakeEmbedding:
    """A text at the embedder."""

    def __init__(self, text: str, callback: Callable[[Vector | None], None], wait_s: float | None) -> None:
        self.text = text
        self.callback = callback
        self.wait_s = wait_s
        self.vector: Vector | None = None
        self.token_vectors: TokenVectors | None = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def answer(self, *numbers: float) -> None:
        self.vector = np.array(numbers, dtype=np.float32)
        self.callback(self.vector)

    def answer_with_tokens(self, *numbers: float) -> None:
        """As a model that tells three tokens, in two layers."""
        self.token_vectors = np.ones((3, 2 * len(numbers)), np.int8)
        self.answer(*numbers)

    def late(self) -> None:
        """Its time is up."""
        self.callback(None)


class FakeEmbedder:
    """Embeds when the test says so."""

    def __init__(self) -> None:
        self.id: str | None = "fake"
        self.busy = False
        self.asked: list[FakeEmbedding] = []

    def submit(
        self,
        text: str,
        callback: Callable[[Vector | None], None],
        *,
        wait_s: float | None = None,
        background: bool = False,
    ) -> Embedding | None:
        if self.busy and not background:
            return None
        self.asked.append(FakeEmbedding(text, callback, wait_s))
        return self.asked[-1]

    def stats(self) -> dict[str, Any]:
        return {"state": "fake"}
