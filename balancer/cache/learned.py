"""The learned verdict: hard gates, then a calibrated probability against what the operator lets a wrong answer cost.

Its file is a .npz without pickle: the network's weights, how much each word says, and a JSON object that tells for
which embedder it holds, how the score becomes a probability, and from which probability on which share is wrong.
"""

from __future__ import annotations

import io
import json
import math
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from balancer.cache.features import COUNT, features
from balancer.cache.gates import refusal
from balancer.cache.lexicon import BUCKETS, Lexis, bucket, lexis
from balancer.cache.network import Network
from balancer.cache.reading import Reading, make_reading
from balancer.cache.vectors import Vector
from balancer.cache.verdict import Verdict

FORMAT: Final = 1
WRONG_SHARE: Final = 0.02
"""Of what is served, by default."""
GATED_PENALTY: Final = 1.0
"""What a gate's refusal takes from the score, so that the probability alone, without gates, ranks better."""
_TEXTS_REMEMBERED: Final = 1024


class BadVerdictFile(ValueError):
    """Not a verdict's file, or one of another version."""


class LearnedVerdict:
    """Reads texts and judges pairs of them. For use from one thread."""

    def __init__(self, data: bytes, wrong_share: float = WRONG_SHARE) -> None:
        """``data``: the file's bytes; `BadVerdictFile` if they are not such a file's."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                meta = json.loads(bytes(arrays["meta"]))
                weights = {name.removeprefix("net."): arrays[name] for name in arrays if name.startswith("net.")}
                words = arrays["words"].astype(np.float64) / 255
            if meta["format"] != FORMAT or len(words) != BUCKETS:
                raise BadVerdictFile("a verdict's file of another version")
            self._network = Network(weights)
            self.embedder_id = str(meta["embedder"])
            self._slope, self._offset = (float(number) for number in meta["calibration"])
            self._curve = sorted((float(share), float(probability)) for share, probability in meta["curve"])
        except Exception as error:  # zip, zlib, numpy and json each have their own for damaged bytes
            raise BadVerdictFile(f"no verdict's file: {error}") from error
        if self._network.features != COUNT or not self._curve:
            raise BadVerdictFile("a verdict's file of another version")
        self.id = blake2b(data, digest_size=8).hexdigest()
        """Another one's probabilities are not to be compared with its own."""
        self.meta: dict[str, Any] = meta
        """How it was made and what it was measured to do."""
        self._weights: list[float] = words.tolist()
        self._lexis = lru_cache(_TEXTS_REMEMBERED)(self._lexis_of)
        self.threshold = self.threshold_for(wrong_share)
        """Least probability that serves."""

    def threshold_for(self, wrong_share: float) -> float:
        """From which probability on at most ``wrong_share`` of what is served was wrong; above 1 if there is none."""
        allowed = [probability for share, probability in self._curve if share <= wrong_share]
        return min(allowed) if allowed else math.nextafter(1.0, 2.0)

    def read(self, text: str, vector: Vector, tokens: NDArray[np.int8]) -> Reading | None:
        """What is kept of a text: its unit vector and its tokens from the embedder; ``None`` if they do not fit."""
        network = self._network
        if vector.shape != (network.dimension,) or tokens.ndim != 2 or tokens.shape[1] != network.token_width:
            return None
        if not len(tokens) or not np.isfinite(vector).all():
            return None
        return make_reading(text, vector, network.project(tokens))

    def judge(
        self, new: Reading, old: Reading, similarity: float, *, least: float = 0.0, rank: bool = False
    ) -> Verdict:
        """Whether the answer to ``old`` may be given to ``new``; ``least``: a stricter probability than the default.

        Where a gate refuses, the probability is only computed to ``rank`` pairs, which nobody needs to answer one.
        """
        if not -1.01 <= similarity <= 1.01:  # NaN too
            return Verdict(False, "similarity", 0.0)
        asked, answered = self._lexis(new.text), self._lexis(old.text)
        reason = refusal(asked, answered)
        if reason is not None and not rank:
            return Verdict(False, reason)
        logit = self._network.logit(new, old, features(asked, answered, similarity))
        probability = self._probability(logit - (GATED_PENALTY if reason is not None else 0.0))
        if reason is not None:
            return Verdict(False, reason, probability)
        if not probability >= max(self.threshold, least):
            return Verdict(False, "probability", probability)
        return Verdict(True, "allowed", probability)

    def _probability(self, score: float) -> float:
        return 1 / (1 + math.exp(-min(max(self._slope * score + self._offset, -60.0), 60.0)))

    def _lexis_of(self, text: str) -> Lexis:
        return lexis(text, lambda stem: self._weights[bucket(stem)])
