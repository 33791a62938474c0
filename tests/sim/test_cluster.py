"""The simulated cluster, seed by seed: 10 virtual minutes each of everything that can go wrong.

A seed that fails is kept in `failing_seeds.txt` and run first from then on. `SIM_SEEDS=5000` runs more of them.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.sim.cluster import Cluster

KEPT = Path(__file__).with_name("failing_seeds.txt")
SEEDS = int(os.environ.get("SIM_SEEDS", "200"))
BATCH = 10


def kept_seeds() -> list[int]:
    return [int(line) for line in KEPT.read_text().split()] if KEPT.exists() else []


def run(seed: int) -> Counter[str]:
    cluster = Cluster(seed)
    try:
        cluster.run()
    except Exception as error:
        if seed not in kept_seeds():
            with KEPT.open("a") as file:
                file.write(f"{seed}\n")
        after_s = cluster.world.now - cluster.start
        raise AssertionError(f"seed {seed} after {after_s:.3f} virtual seconds: {error!r}") from error
    return cluster.counts


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of backends die here; a captured log of it helps nobody."""
    caplog.set_level(logging.CRITICAL)


def test_seeds_that_failed_once_hold() -> None:
    for seed in kept_seeds():
        run(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_the_cluster_holds(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, min(first + BATCH, SEEDS)):
        counts += run(seed)
    # The world was neither too kind nor too cruel to show anything.
    assert counts["done"] > 0.7 * counts["requests"] > 0
    assert min(counts[trouble] for trouble in ("crashes", "freezes", "cuts", "stalls", "drains", "resumed")) > 0


def test_the_same_seed_is_the_same_world() -> None:
    assert run(3) == run(3)
