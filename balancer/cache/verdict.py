"""May the answer to one question be given for another? It fails closed: what is not known to serve does not.

Cosine alone cannot say. All-MiniLM-L6-v2 gives "Is ibuprofen safe during pregnancy?" and "Is ibuprofen not safe
during pregnancy?" 0.994, more than it gives most paraphrases. So a near match needs a cosine above a high threshold
and the same numbers and negations (:mod:`balancer.cache.signature`). Cheap tests come first.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from balancer.cache.signature import signature

THRESHOLD: Final = 0.95
"""Least cosine that may serve."""


class Verdict(NamedTuple):
    """Whether a near match may be served, and why or why not."""

    serve: bool
    reason: str
    """``allowed``, or what speaks against it: ``similarity``, ``numbers``, ``negation``, or one of those of
    :mod:`balancer.cache.gates`, or ``probability``."""
    probability: float | None = None
    """That the answer is right, where a learned verdict judged."""


def judge(question: str, candidate: str, similarity: float, threshold: float = THRESHOLD) -> Verdict:
    """Whether the answer to ``candidate`` may be given to ``question``, at this cosine of their embeddings."""
    if not similarity >= threshold:  # NaN is refused too
        return Verdict(False, "similarity")
    asked, answered = signature(question), signature(candidate)
    if asked.numbers != answered.numbers:
        return Verdict(False, "numbers")
    if asked.negations != answered.negations:
        return Verdict(False, "negation")
    return Verdict(True, "allowed")
