"""How well the cache's verdict tells the same question from another one: ``scripts/evaluate_cache pairs FILE``.

The file is tab-separated with the columns a, b, duplicate (1: one's answer is the other's too), perhaps gzipped. What
is shown: what is served at the operating point and how much of that is wrong; the curve over all thresholds; the same
for the plain cosine of the embeddings. Gates count at the operating points; the curves and the scores are of the
learned probability alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from balancer.adapters.embedder.model import EmbeddingModel
from balancer.cache.learned import WRONG_SHARE, LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.verdict import judge
from scripts.labelled_pairs import Pair, read_pairs
from scripts.measures import Numbers, Served, drawn_reach, reach, served

VERDICT = Path(__file__).resolve().parent.parent / "balancer" / "cache" / "verdict.npz"
SHARES = (0.005, 0.01, 0.02, 0.05, 0.10, 0.20)
COSINES = (0.8, 0.9, 0.95)
_BATCH = 32


class Scored(NamedTuple):
    """One pair's."""

    cosine: float
    probability: float
    reason: str
    """Why not, by the gates; empty if they let it pass."""
    simple: bool
    """The verdict without a learned score serves."""


def main() -> None:
    """Read, score, print."""
    parser = argparse.ArgumentParser(prog="scripts/evaluate_cache", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pairs = commands.add_parser("pairs", help="labelled pairs of texts")
    pairs.add_argument("file", type=Path, help="FILE.tsv or FILE.tsv.gz with columns a, b, duplicate")
    pairs.add_argument("--json", action="store_true", help="the report as one JSON object")
    pairs.add_argument("--scores", type=Path, metavar="OUT.tsv", help="write one score a row, in the file's order")
    pairs.add_argument("--verdict", type=Path, default=VERDICT, help="the verdict's file (default: the one shipped)")
    pairs.add_argument(
        "--wrong-share", type=float, default=WRONG_SHARE, help="the operating point (default %(default)s)"
    )
    pairs.add_argument("--limit", type=int, help="only so many rows, drawn at random")
    options = parser.parse_args()
    rows = read_pairs(options.file)
    if options.limit is not None and options.limit < len(rows):
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), options.limit, replace=False))
        rows = [rows[at] for at in chosen]
    verdict = LearnedVerdict(options.verdict.read_bytes(), options.wrong_share)
    started = time.process_time()
    scored = score(rows, verdict, EmbeddingModel(None))
    found = report(rows, scored, verdict.threshold, options.wrong_share)
    found["cpu_ms_per_pair"] = 1000 * (time.process_time() - started) / max(1, len(rows))
    if options.scores is not None:
        options.scores.write_text("".join(f"{one.probability:.6f}\n" for one in scored), encoding="utf-8")
    print(json.dumps(found, indent=2) if options.json else as_text(found))


def score(rows: list[Pair], verdict: LearnedVerdict, model: EmbeddingModel) -> list[Scored]:
    """Embed every text once and judge every pair; a text the model can't read whole is never served."""
    texts = sorted({text for row in rows for text in (row.a, row.b)}, key=len)
    readings: dict[str, tuple[Reading, Any] | None] = {}
    for at in range(0, len(texts), _BATCH):
        batch = texts[at : at + _BATCH]
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
    found = verdict.judge(new[0], old[0], cosine)
    reason = "" if found.reason in ("allowed", "probability") else found.reason
    return Scored(cosine, found.probability or 0.0, reason, judge(row.a, row.b, cosine).serve)


def report(rows: list[Pair], scored: list[Scored], threshold: float, wrong_share: float) -> dict[str, Any]:
    """All that is shown."""
    labels = np.array([row.duplicate for row in rows], dtype=np.float64)
    probabilities = np.array([one.probability for one in scored])
    cosines = np.array([one.cosine for one in scored])
    passed = np.array([not one.reason for one in scored])
    refusals = [one.reason for one in scored if one.reason]
    return {
        "pairs": len(rows),
        "duplicates": int(labels.sum()),
        "wrong_share": wrong_share,
        "threshold": threshold,
        "operating_point": served(labels, passed & (probabilities >= threshold))._asdict(),
        "others_served": _share_of_others(labels, passed & (probabilities >= threshold)),
        "simple_verdict": served(labels, np.array([one.simple for one in scored]))._asdict(),
        "cosine": {str(least): served(labels, cosines >= least)._asdict() for least in COSINES},
        "reach": {str(share): reach(labels, probabilities, share) for share in SHARES},
        "reach_cosine": {str(share): reach(labels, cosines, share) for share in SHARES},
        "reach_half_duplicates": {str(share): drawn_reach(labels, probabilities, share) for share in SHARES},
        "reach_half_duplicates_cosine": {str(share): drawn_reach(labels, cosines, share) for share in SHARES},
        "curve": curve(labels, probabilities, passed),
        "refused_by_gates": {reason: refusals.count(reason) for reason in sorted(set(refusals))},
    }


def _share_of_others(labels: Numbers, mask: Any) -> float | None:
    others = int((labels == 0).sum())
    return float((mask & (labels == 0)).sum() / others) if others else None


def curve(labels: Numbers, probabilities: Numbers, passed: Any) -> list[dict[str, float]]:
    """What is served, gates included, at each fortieth of the probabilities."""
    if not len(probabilities):
        return []
    thresholds = np.unique(np.quantile(probabilities, np.linspace(0, 1, 41)))[::-1]
    return [{"threshold": float(t), **served(labels, passed & (probabilities >= t))._asdict()} for t in thresholds]


def as_text(found: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{found['pairs']} pairs, {found['duplicates']} duplicates; {found['cpu_ms_per_pair']:.1f} ms CPU a pair"]
    lines.append(_line(f"operating point, wrong share {found['wrong_share']:g}", Served(**found["operating_point"])))
    lines.append(_line("without learned score", Served(**found["simple_verdict"])))
    lines += [_line(f"cosine >= {least}", Served(**one)) for least, one in found["cosine"].items()]
    if found["others_served"] is not None:
        lines.append(
            f"of the pairs that are no duplicates, served at the operating point: {found['others_served']:.2%}"
        )
    lines.append("")
    lines.append("share of duplicates served at a wrong share of at most:")
    lines.append(f"{'':12}{'all pairs':>12}{'cosine':>10}   half duplicates, 20 draws (cosine)")
    for share in map(str, SHARES):
        mean, least, most = found["reach_half_duplicates"][share]
        plain = found["reach_half_duplicates_cosine"][share][0]
        lines.append(
            f"{float(share):>10.1%}  {found['reach'][share]:>12.1%}{found['reach_cosine'][share]:>10.1%}"
            f"   {mean:.1%}, {least:.1%} to {most:.1%} ({plain:.1%})"
        )
    lines += ["", "threshold  served  of duplicates  wrong (95 % at most), gates included"]
    for point in found["curve"]:
        lines.append(
            f"{point['threshold']:>9.4f}{point['served']:>8}{point['of_duplicates']:>15.1%}"
            f"  {point['wrong']:.2%} ({point['wrong_upper']:.2%})"
        )
    lines += [
        "",
        "refused by gates: " + (", ".join(f"{k} {v}" for k, v in found["refused_by_gates"].items()) or "none"),
    ]
    return "\n".join(lines)


def _line(name: str, one: Served) -> str:
    return f"{name:36} {one.served:>6} served, {one.of_duplicates:.1%} of duplicates, {one.wrong:.2%} wrong"


if __name__ == "__main__":
    main()
