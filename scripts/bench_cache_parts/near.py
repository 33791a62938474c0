"""Searching 1,000, 10,000 and 100,000 vectors: how long it takes and how often it finds the nearest."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np

from balancer.cache.vectors import Vector, VectorIndex
from scripts.bench_cache_parts.timing import Times, in_turns, show

SIZES: Final = (1_000, 10_000, 100_000)
ASKED: Final = 1_000
_CANDIDATES: Final = 4
_DIMENSION: Final = 384


def bench_near(file: Path | None) -> None:
    """``file``: a .npy with a vector a row, of real texts; without it vectors are made up."""
    vectors = _made_up(SIZES[-1] + ASKED) if file is None else _read(file)
    asked, stored = vectors[:ASKED], vectors[ASKED : ASKED + SIZES[-1]]
    index = VectorIndex(_DIMENSION, len(stored))
    adding_us: list[float] = []
    times: dict[str, Times] = {}
    recalls = []
    for number, vector in enumerate(stored):
        started = time.perf_counter()
        index.add(b"%d" % number, vector)
        adding_us.append(1e6 * (time.perf_counter() - started))
        if len(index) in (*SIZES, len(stored)):
            name = f"nearest {_CANDIDATES} of {len(index):,}"
            times |= in_turns({name: _search(index, asked)}, ASKED)
            recalls.append(f"{name}: {_recall(index, asked, stored[: len(index)])}")
    show(f"search, vectors {'made up' if file is None else 'of real texts'}", times)
    print("  the nearest is found, in all; where it lies at 0.6 or more; at 0.75 or more:")
    for line in recalls:
        print(f"    {line}")
    latest = sorted(adding_us[-10_000:])
    mean, p50, p99 = np.mean(latest), latest[len(latest) // 2], latest[int(0.99 * len(latest))]
    print(f"  a vector added at the end, us: mean {mean:.0f}, p50 {p50:.0f}, p99 {p99:.0f}")
    print(f"  rows allocated per row: {index.capacity / len(index):.2f}")


def _search(index: VectorIndex, asked: Vector) -> Callable[[], Any]:
    turns = cycle(asked)
    return lambda: index.nearest(next(turns), _CANDIDATES)


def _recall(index: VectorIndex, asked: Vector, stored: Vector) -> str:
    best = np.concatenate([(part @ stored.T).max(axis=1) for part in np.array_split(asked, 10)])
    found = np.array([index.nearest(vector, 1)[0][1] for vector in asked]) >= best - 1e-5
    shares = [found[best >= least].mean() if (best >= least).any() else float("nan") for least in (-1.0, 0.6, 0.75)]
    return ", ".join(f"{share:.4f}" for share in shares)


def _read(file: Path) -> Vector:
    vectors: Vector = np.load(file).astype(np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != _DIMENSION or len(vectors) <= ASKED:
        raise SystemExit(f"{file}: not more than {ASKED} rows of {_DIMENSION} numbers")
    return _units(vectors[np.random.default_rng(0).permutation(len(vectors))])


def _made_up(count: int) -> Vector:
    """Subjects, questions on each, and wordings of each question."""
    rng = np.random.default_rng(1)
    rows = np.zeros((count, _DIMENSION), np.float32)
    for groups, share in ((300, 0.5), (5_000, 0.6), (count // 4, 0.55), (count, 0.3)):
        centres = rng.standard_normal((groups, _DIMENSION), dtype=np.float32)
        rows += share * centres[rng.integers(0, groups, count)]
    return _units(rows)


def _units(rows: Vector) -> Vector:
    units: Vector = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units
