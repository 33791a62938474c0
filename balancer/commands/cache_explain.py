"""Why the answer to one question would, or would not, be given to another: `llm-balancer cache explain`.

The same embedder, verdict and bounds as a daemon of the same settings, without a daemon.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from balancer.adapters.embedder.model import EmbeddingModel
from balancer.cache.gates import flips, refusal
from balancer.cache.learned import LearnedVerdict
from balancer.cache.lexicon import Lexis, lexis
from balancer.cache.reading import Reading
from balancer.cache.store import LEAST_SIMILARITY
from balancer.cache.vectors import unit_vector
from balancer.cache.verdict import Verdict, judge

REASONS = {
    "allowed": "nothing speaks against it",
    "equal": "equal questions are answered by the exact tier, which asks no verdict",
    "similarity": "the embeddings are too far apart",
    "probability": "the answer is not likely enough to be right",
    "unread": "the embedder can't read one of them whole",
    "long": "one of them is too long to be compared word by word",
    "numbers": "their numbers, units, versions or dates differ",
    "negation": "one has a negation that the other lacks",
    "literals": "a quoted string, an address or code of one is missing in the other",
    "polarity": "one says the opposite of the other",
    "time": "they name different days, months or the like",
    "names": "each has a name that the other lacks",
    "direction": "a relation (from, to, than, before) stands the other way round",
}
GATES = ("numbers", "negation", "literals", "polarity", "time", "names", "direction", "long")


class Pair(NamedTuple):
    """Two texts as the embedder and the verdict know them."""

    cosine: float | None
    """``None`` where the model can't read a text whole."""
    readings: tuple[Reading, Reading] | None
    """``None`` where no learned verdict judges."""


def read_pair(a: str, b: str, model: EmbeddingModel, verdict: LearnedVerdict | None) -> Pair:
    """Embed both in one go; ``verdict`` must be of this model."""
    vectors, tokens = model.read([a, b])
    units = [unit_vector(vector) if vector is not None else None for vector in vectors]
    left, right = units
    if left is None or right is None:
        return Pair(None, None)
    readings = [_read(*part, verdict) for part in zip((a, b), (left, right), tokens, strict=True)]
    new, old = readings
    return Pair(float(left @ right), (new, old) if new is not None and old is not None else None)


def _read(text: str, vector: NDArray[np.float32], tokens: Any, verdict: LearnedVerdict | None) -> Reading | None:
    return verdict.read(text, vector, tokens) if verdict is not None and tokens is not None else None


def explain(a: str, b: str, pair: Pair, verdict: LearnedVerdict | None, threshold: float) -> dict[str, Any]:
    """What the daemon would decide if ``b`` were stored and ``a`` asked, and by what.

    ``verdict``: the learned one, where it knows the embedder; without it the simple one serves at ``threshold``.
    """
    new, old = (lexis(text, lambda _: 1.0) for text in (a, b))
    found = _judged(a, b, pair, verdict, threshold)
    learned = verdict is not None
    gate = refusal(new, old) if learned else found.reason
    return {
        "serve": found.serve,
        "reason": found.reason,
        "why": REASONS.get(found.reason, found.reason),
        "verdict": "learned" if learned else "simple",
        "cosine": pair.cosine,
        "least_cosine": LEAST_SIMILARITY if learned else threshold,
        "gate": gate if gate in GATES else None,
        "probability": found.probability,
        "threshold": verdict.threshold if verdict is not None else None,
        "features": _differences(new, old),
    }


def _judged(a: str, b: str, pair: Pair, verdict: LearnedVerdict | None, threshold: float) -> Verdict:
    if a == b:
        return Verdict(True, "equal")
    if pair.cosine is None:
        return Verdict(False, "unread")
    if verdict is None:
        return judge(a, b, pair.cosine, threshold)
    if pair.readings is None:
        return Verdict(False, "unread")
    found = verdict.judge(*pair.readings, pair.cosine, rank=True)
    return found if pair.cosine >= LEAST_SIMILARITY else found._replace(serve=False, reason="similarity")


def _differences(new: Lexis, old: Lexis) -> dict[str, Any]:
    """What the words of one side say and the other's don't."""
    negations, opposites = flips(new, old)
    sides = (("a", new, old), ("b", old, new))
    return {
        "words_shared": _words(new, new.content.keys() & old.content.keys()),
        **{f"words_only_{side}": _words(one, one.content.keys() - other.content.keys()) for side, one, other in sides},
        **{f"names_only_{side}": sorted(one.names.difference(other.stems)) for side, one, other in sides},
        **{f"numbers_{side}": [str(number) for number in one.signature.numbers] for side, one, _ in sides},
        **{
            f"literals_only_{side}": sorted(part for part in one.exact if part not in other.lower)
            for side, one, other in sides
        },
        **{f"times_only_{side}": sorted(one.times - other.times) for side, one, other in sides},
        "negations_more": negations,
        "opposites": opposites,
    }


def _words(one: Lexis, stems: AbstractSet[str]) -> list[str]:
    return list(dict.fromkeys(word for word, stem in zip(one.words, one.stems, strict=True) if stem in stems))


def as_text(found: dict[str, Any]) -> str:
    """The explanation for people."""
    lines = [
        f"{'would be answered' if found['serve'] else 'would not be answered'}: {found['why']} ({found['reason']})",
        _line("verdict", found["verdict"]),
        _line("cosine", f"{_number(found['cosine'])} (at least {found['least_cosine']:g})"),
        _line("gate", found["gate"] or "none refuses"),
    ]
    if found["threshold"] is not None:
        lines.append(_line("probability", f"{_number(found['probability'])} (at least {_number(found['threshold'])})"))
    for name, value in found["features"].items():
        if value:
            told = ", ".join(value) if isinstance(value, list) else str(value)
            lines.append(_line(name.replace("_", " "), told))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4f}" if value <= 1 else "none serves: this share was never reached"


def _line(name: str, value: str) -> str:
    return f"  {name:16} {value}"
