"""What a model's one forward pass over a text gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from balancer.adapters.embedder.frames import TokenVectors, Vector


class Pass(NamedTuple):
    """One text's."""

    vector: Vector
    """Of length one."""
    length: int
    """Tokens that were read, the marks of begin and end among them."""
    ids: NDArray[np.int64]
    """Its tokens without those marks."""
    early: TokenVectors
    """A row for each of them, in the early layer; no rows where the model does not tell."""
    last: TokenVectors
    """The same in the last layer."""


class Engine(Protocol):
    """Computes a model. ``tokens_max`` is ``None`` without a limit."""

    dimension: int
    tokens_max: int | None
    reads_tokens: bool
    """Whether passes tell the tokens' rows."""
    fingerprint: str

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's tokens, uncut, with the marks of its begin and end."""

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """The tokens of words that are tokens."""

    def passes(self, texts: Sequence[str]) -> list[Pass]:
        """One for each text; of a longer one than the model reads, its beginning's."""


def in_bytes(rows: NDArray[np.float32]) -> NDArray[np.int8]:
    """Token vectors, each scaled to the range of int8; the scale says nothing and is lost."""
    largest = np.maximum(np.abs(rows).max(axis=-1, keepdims=True), np.float32(1e-12))
    scaled: NDArray[np.int8] = np.rint(rows * (np.float32(127) / largest)).astype(np.int8)
    return scaled
