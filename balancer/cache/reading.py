"""What is kept of a text so that it can be compared with others: its vector and its tokens', in one byte a number."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from balancer.cache.vectors import Vector

TOKENS_MAX: Final = 32
READING_OVERHEAD_BYTES: Final = 600
"""What a reading costs beside the numbers in it (measured, rounded up)."""

Bytes = NDArray[np.int8]


class Reading(NamedTuple):
    """One text. The text itself is the entry's; this holds no copy."""

    text: str
    vector: Bytes
    vector_scale: float
    """``vector * vector_scale`` is the unit vector."""
    tokens: Bytes
    """At most ``TOKENS_MAX`` rows, as the verdict's network projects the embedder's tokens."""
    token_scales: NDArray[np.float32]

    @property
    def size_bytes(self) -> int:
        """Without the text."""
        return self.vector.nbytes + self.tokens.nbytes + self.token_scales.nbytes + READING_OVERHEAD_BYTES


def make_reading(text: str, vector: Vector, tokens: NDArray[np.float32]) -> Reading:
    """Keep a unit vector and projected tokens in bytes."""
    (quantised,), (scale,) = in_bytes(vector[None, :])
    rows, scales = in_bytes(tokens[:TOKENS_MAX])
    return Reading(text, quantised, float(scale), rows, scales)


def in_bytes(rows: NDArray[np.float32]) -> tuple[Bytes, NDArray[np.float32]]:
    """Rows of numbers as int8, and what to multiply each row with to get it back."""
    scales = np.maximum(np.abs(rows).max(axis=1), np.float32(1e-12)) / np.float32(127)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales.astype(np.float32)
