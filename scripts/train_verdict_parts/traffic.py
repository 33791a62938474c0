"""Which share of near hits is wrong, from which probability on: in streams of requests made of calibration's pairs.

Pairs of which half are duplicates are no traffic: most near hits there are a popular question in another form. So what
an operator allows is found on streams, as `scripts.evaluate_cache_parts.stream` makes them, by the labels as they are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from balancer.adapters.embedder.model import EmbeddingModel
from balancer.cache.judge_error import wilson
from balancer.cache.learned import LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.verdict import Verdict
from scripts.evaluate_cache_parts.caches import Ours
from scripts.evaluate_cache_parts.replay import asked_of, replay
from scripts.evaluate_cache_parts.stream import Shape, make_stream
from scripts.labelled_pairs import Pair
from scripts.train_verdict_parts.embedded import Embedded
from scripts.train_verdict_parts.splitting import groups

SEEDS: Final = (101, 102, 103, 104, 105, 106)
"""Of the streams."""
_DEVIATIONS: Final = 2.0
LEVELS: Final = (0.6, 0.75, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.9875, 0.99, 0.995)
"""Probabilities that are tried."""


class Remembering(LearnedVerdict):
    """Judges each pair once, whatever is asked at which threshold."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._known: dict[tuple[str, str], Verdict] = {}

    def judge(
        self, new: Reading, old: Reading, similarity: float, *, least: float = 0.0, rank: bool = False
    ) -> Verdict:
        found = self._known.get((new.text, old.text))
        if found is None:
            wanted, self.threshold = self.threshold, 0.0
            found = self._known[new.text, old.text] = super().judge(new, old, similarity)
            self.threshold = wanted
        if found.serve and not (found.probability or 0.0) >= max(self.threshold, least):
            return Verdict(False, "probability", found.probability)
        return found


def wrong_at_most(
    verdict_file: bytes,
    pairs: Sequence[Pair],
    work: Path,
    model: EmbeddingModel,
    *,
    requests: int = Shape().requests,
    levels: Sequence[float] = LEVELS,
) -> list[tuple[float, float]]:
    """For each level the share of near hits that is wrong, at most.

    Each stream is made of another half of the groups, since few popular ones decide much. Of each it is the share that
    Wilson's interval (95 %) ends at; of all of them the mean and two standard deviations more.
    """
    streams = [make_stream(half_of(pairs, seed), [], Shape(requests), seed) for seed in SEEDS]
    embedded = Embedded(sorted({one.text for stream in streams for one in stream}), work, model)
    verdict = Remembering(verdict_file)
    most: dict[float, list[float]] = {level: [] for level in levels}
    for stream in streams:
        known = [one for one in stream if one.text in embedded]
        asked = asked_of(known, embedded, verdict)
        for level in levels:
            verdict.threshold = level
            found = replay(known, asked, Ours(verdict))
            most[level].append(wilson(found.near_wrong, found.near).high)
    return [(level, float(np.mean(found) + _DEVIATIONS * np.std(found))) for level, found in most.items()]


def half_of(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """The pairs of half of their groups, drawn at random."""
    group = groups(pairs)
    names = sorted(set(group.values()))
    drawn = set(random.Random(seed).sample(names, len(names) // 2))
    return [pair for pair in pairs if group[pair.a] in drawn]
