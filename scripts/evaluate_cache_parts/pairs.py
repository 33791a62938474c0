"""Labelled pairs through the verdict, beside plain cosine: what is served, and how much of that is wrong.

Gates count at the operating points and on the curve; the reaches and the scores are of the learned probability alone.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Final, NamedTuple

import numpy as np

from balancer.adapters.embedder.model import EmbeddingModel
from balancer.cache.learned import LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.store import LEAST_SIMILARITY
from balancer.cache.verdict import judge
from scripts.labelled_pairs import Pair
from scripts.measures import Numbers, drawn_reach, reach, served

SHARES: Final = (0.005, 0.01, 0.02, 0.05, 0.10, 0.20)
COSINES: Final = (0.8, 0.9, 0.95)
_BATCH: Final = 32
_TOLD_EVERY: Final = 100
"""Batches."""


class Scored(NamedTuple):
    """One pair's."""

    cosine: float
    probability: float
    reason: str
    """Why not, by the gates; empty if they let it pass."""
    simple: bool
    """The verdict without a learned score serves."""


def score(rows: list[Pair], verdict: LearnedVerdict, model: EmbeddingModel) -> list[Scored]:
    """Embed every text once and judge every pair; a text the model can't read whole is never served."""
    texts = sorted({text for row in rows for text in (row.a, row.b)}, key=len)
    readings: dict[str, tuple[Reading, Any] | None] = {}
    for at in range(0, len(texts), _BATCH):
        batch = texts[at : at + _BATCH]
        if at and at % (_BATCH * _TOLD_EVERY) == 0:
            print(f"embedded {at} of {len(texts)} texts", file=sys.stderr, flush=True)
        for text, vector, tokens in zip(batch, *model.read(batch), strict=True):
            reading = verdict.read(text, vector, tokens) if vector is not None and tokens is not None else None
            readings[text] = (reading, vector) if reading is not None else None
    return [_scored(row, readings[row.a], readings[row.b], verdict) for row in rows]


def _scored(
    row: Pair, new: tuple[Reading, Any] | None, old: tuple[Reading, Any] | None, verdict: LearnedVerdict
) -> Scored:
    if new is None or old is None:
        return Scored(0.0, 0.0, "unread", False)
    cosine = float(np.dot(new[1], old[1]))
    found = verdict.judge(new[0], old[0], cosine, rank=True)
    reason = "" if found.reason in ("allowed", "probability") else found.reason
    return Scored(cosine, found.probability or 0.0, reason, judge(row.a, row.b, cosine).serve)


def report(rows: list[Pair], scored: list[Scored], threshold: float, wrong_share: float) -> dict[str, Any]:
    """All that is shown; ``None`` where there is nothing to take a share of."""
    labels = np.array([row.duplicate for row in rows], dtype=np.float64)
    probabilities = np.array([one.probability for one in scored])
    cosines = np.array([one.cosine for one in scored])
    passed = np.array([not one.reason for one in scored])
    near = np.array([one.cosine >= LEAST_SIMILARITY for one in scored])
    simple = np.array([one.simple for one in scored])
    serves = passed & (probabilities >= threshold)
    refusals = [one.reason for one in scored if one.reason]
    return {
        "pairs": len(rows),
        "duplicates": int(labels.sum()),
        "wrong_share": wrong_share,
        "threshold": threshold if threshold <= 1 else None,
        "operating_point": _told(labels, serves),
        "operating_point_in_the_cache": _told(labels, serves & near),
        "simple_verdict": _told(labels, simple),
        "cosine": {str(least): _told(labels, cosines >= least) for least in COSINES},
        "reach": {str(share): reach(labels, probabilities, share) for share in SHARES},
        "reach_cosine": {str(share): reach(labels, cosines, share) for share in SHARES},
        "reach_half_duplicates": {str(share): drawn_reach(labels, probabilities, share) for share in SHARES},
        "reach_half_duplicates_cosine": {str(share): drawn_reach(labels, cosines, share) for share in SHARES},
        "curve": curve(labels, probabilities, passed),
        "curve_cosine": curve(labels, cosines, np.ones(len(rows), bool)),
        "refused_by_gates": {reason: refusals.count(reason) for reason in sorted(set(refusals))},
    }


def _told(labels: Numbers, mask: Any) -> dict[str, Any]:
    """What serving these pairs means; among them the share of the pairs that are no duplicates."""
    others = int((labels == 0).sum())
    found = served(labels, mask)._asdict() | {
        "of_others": float((mask & (labels == 0)).sum() / others) if others else math.nan
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def curve(labels: Numbers, scores: Numbers, passed: Any) -> list[dict[str, Any]]:
    """What is served at each fortieth of the scores, from the strictest on."""
    thresholds = np.unique(np.quantile(scores, np.linspace(0, 1, 41)))[::-1]
    return [{"threshold": float(t), **_told(labels, passed & (scores >= t))} for t in thresholds]


def as_text(found: dict[str, Any]) -> str:
    """The report for people."""
    share = f"{found['wrong_share']:g}"
    lines = [
        f"{found['pairs']} pairs, {found['duplicates']} duplicates; {found['cpu_ms_per_pair']:.1f} ms CPU a pair",
        f"{'':36}  served  of duplicates  of others  wrong (95 % at most)",
        _line(f"operating point, wrong share {share}", found["operating_point"]),
        _line(f"  and a cosine of {LEAST_SIMILARITY:g}, as in the cache", found["operating_point_in_the_cache"]),
        _line("without learned score", found["simple_verdict"]),
        *(_line(f"cosine >= {least}", one) for least, one in found["cosine"].items()),
        "",
        "share of duplicates served at a wrong share of at most:",
        f"{'':12}{'all pairs':>12}{'cosine':>10}   half duplicates, 20 draws (cosine)",
    ]
    for allowed in map(str, SHARES):
        mean, least, most = found["reach_half_duplicates"][allowed]
        plain = found["reach_half_duplicates_cosine"][allowed][0]
        lines.append(
            f"{float(allowed):>10.1%}  {found['reach'][allowed]:>12.1%}{found['reach_cosine'][allowed]:>10.1%}"
            f"   {mean:.1%}, {least:.1%} to {most:.1%} ({plain:.1%})"
        )
    lines += ["", f"{'probability, gates included':36}  served  of duplicates  of others  wrong (95 % at most)"]
    lines += [_line(f"  >= {point['threshold']:.4f}", point) for point in found["curve"]]
    gates = ", ".join(f"{reason} {count}" for reason, count in found["refused_by_gates"].items())
    return "\n".join([*lines, "", f"refused by gates: {gates or 'none'}"])


def _line(name: str, one: dict[str, Any]) -> str:
    shares = [f"{one[share]:.2%}" if one[share] is not None else "-" for share in ("of_duplicates", "of_others")]
    wrong = f"{one['wrong']:.2%} ({one['wrong_upper']:.2%})" if one["wrong"] is not None else "-"
    return f"{name:36}{one['served']:>8}{shares[0]:>15}{shares[1]:>11}  {wrong}"
