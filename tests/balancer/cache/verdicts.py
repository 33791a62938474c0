"""Small learned verdicts that say what a test wants."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from balancer.cache.features import COUNT
from balancer.cache.learned import FORMAT, LearnedVerdict
from balancer.cache.lexicon import BUCKETS
from balancer.cache.reading import Reading

DIMENSION, WIDTH = 8, 6
CURVE = [[0.01, 0.9], [0.02, 0.7], [0.1, 0.4]]


def file(bias: float = 0.0, **changes: Any) -> bytes:
    """A verdict whose every probability is the logistic of ``bias``."""
    shapes: dict[str, tuple[int, ...]] = {
        "P.weight": (WIDTH, 2 * DIMENSION), "P.bias": (WIDTH,), "A.weight": (4, WIDTH), "A.bias": (4,), "t": (),
        "C.weight": (5, 3 * WIDTH), "C.bias": (5,), "S.weight": (4, 2 * DIMENSION), "S.bias": (4,),
        "M.weight": (7, 4 * 5 + 4 + 1 + COUNT), "M.bias": (7,), "O.weight": (1, 7), "O.bias": (1,),
    }  # fmt: skip
    arrays: dict[str, Any] = {f"net.{name}": np.zeros(shape, np.float16) for name, shape in shapes.items()}
    arrays["net.O.bias"] += np.float16(bias)
    meta = {"format": FORMAT, "embedder": "model@1", "calibration": [1.0, 0.0], "curve": CURVE} | changes
    arrays |= {"words": np.zeros(BUCKETS, np.uint8), "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def read(verdict: LearnedVerdict, text: str) -> Reading:
    vector = np.full(DIMENSION, DIMENSION**-0.5, np.float32)
    found = verdict.read(text, vector, np.ones((3, 2 * DIMENSION), np.int8))
    assert found is not None
    return found
