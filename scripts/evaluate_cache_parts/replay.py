"""One stream through several caches: how much each serves, how much of that is wrong, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from balancer.cache.judge_error import wilson
from balancer.cache.learned import LearnedVerdict
from balancer.cache.vectors import unit_vector
from scripts.evaluate_cache_parts.caches import Asked, Cache, Cosine, Ours, Vector, gptcache
from scripts.evaluate_cache_parts.stream import Request
from scripts.evaluate_cache_parts.vcache import VCache
from scripts.train_verdict_parts.embedded import Embedded

COSINES: Final = (0.8, 0.9, 0.95)
SCANNED: Final = (0.97, 0.98, 0.99, 0.995, 0.999)
"""Stricter cosines, to find the least one that keeps the bound: known only in hindsight."""


class Tally(NamedTuple):
    """What one cache did with the stream."""

    requests: int
    repeats: int
    """Requests whose group had been asked before: what a perfect cache serves."""
    exact: int
    near: int
    near_wrong: int
    exact_wrong: int
    """An equal text of another group, by noisy labels."""
    seconds_saved: float
    """Of backends' time, by right answers alone."""
    seconds: float
    """That backends would take without a cache."""

    def report(self) -> dict[str, Any]:
        """For people and programs; shares are of requests where nothing else is said."""
        hits = self.exact + self.near
        return {
            **self._asdict(),
            "hit_rate": hits / max(1, self.requests),
            "near_hit_rate": self.near / max(1, self.requests),
            "right_of_repeats": (hits - self.near_wrong - self.exact_wrong) / max(1, self.repeats),
            "near_wrong_share": self.near_wrong / self.near if self.near else None,
            "near_wrong_interval": wilson(self.near_wrong, self.near)[1:],
            "hits_wrong_share": self.near_wrong / hits if hits else None,
            "hits_wrong_interval": wilson(self.near_wrong, hits)[1:],
            "seconds_saved_share": self.seconds_saved / self.seconds if self.seconds else 0.0,
        }


def replay(requests: Sequence[Request], asked: Sequence[Asked], cache: Cache) -> Tally:
    """Ask one after the other; what is not served is answered by a backend at once, and stored."""
    known: set[int] = set()
    repeats = exact = near = near_wrong = exact_wrong = 0
    saved = 0.0
    for request, one in zip(requests, asked, strict=True):
        repeats += one.group in known
        served = cache.serve(one)
        right = served is not None and served.group == one.group
        if served is None:
            cache.store(one)
        elif served.exact:
            exact, exact_wrong = exact + 1, exact_wrong + (not right)
        else:
            near, near_wrong = near + 1, near_wrong + (not right)
        saved += request.seconds if right else 0.0
        known.add(one.group)
    total = sum(request.seconds for request in requests)
    return Tally(len(requests), repeats, exact, near, near_wrong, exact_wrong, round(saved, 3), round(total, 3))


def asked_of(requests: Sequence[Request], embedded: Embedded, verdict: LearnedVerdict) -> list[Asked]:
    """The requests as caches see them; each text is read once. Without those that the embedder can't read whole."""
    vectors: dict[str, Vector] = {}
    found = []
    readings: dict[str, Any] = {}
    for request in requests:
        text = request.text
        if text not in vectors:
            vector = unit_vector(embedded.vector(text))
            if vector is None:
                raise ValueError(f"no vector for {text!r}")
            vectors[text], readings[text] = vector, verdict.read(text, vector, np.asarray(embedded.tokens(text)))
        found.append(Asked(text, request.group, vectors[text], readings[text]))
    return found


def compare(
    requests: Sequence[Request], embedded: Embedded, verdict_file: bytes, shares: Sequence[float], seed: int
) -> dict[str, Any]:
    """Every cache's tally by its name, and the least cosine that keeps the bound of the first of ``shares``."""
    bound = shares[0]
    verdicts = {share: LearnedVerdict(verdict_file, share) for share in shares}
    asked = asked_of(requests, embedded, verdicts[bound])
    size = embedded.dimension
    caches: dict[str, Cache] = {f"ours, wrong share {share:g}": Ours(verdict) for share, verdict in verdicts.items()}
    caches |= {f"cosine {least:g}": Cosine(size, least) for least in COSINES}
    caches |= {"GPTCache's rule": gptcache(size), f"vCache's, delta {bound:g}": VCache(size, bound, seed)}
    found = {name: replay(requests, asked, cache).report() for name, cache in caches.items()}
    best = None
    for least in (*COSINES, *SCANNED):
        told = found.get(f"cosine {least:g}") or replay(requests, asked, Cosine(size, least)).report()
        if told["hits_wrong_interval"][1] < bound:
            best = {"least": least, **told}
            break
    return {"bound": bound, "caches": found, "best_cosine": best}


def stream_report(requests: Sequence[Request], seed: int) -> dict[str, Any]:
    """What the stream is."""
    known: set[int] = set()
    repeats = 0
    for request in requests:
        repeats += request.group in known
        known.add(request.group)
    return {
        "seed": seed,
        "requests": len(requests),
        "groups": len(known),
        "texts": len({request.text for request in requests}),
        "kinds": {kind: sum(1 for request in requests if request.kind == kind) for kind in ("known", "near", "once")},
        "repeats": repeats,
        "seconds": round(sum(request.seconds for request in requests), 3),
    }


def as_text(found: dict[str, Any]) -> str:
    """The report for people."""
    head = found["stream"]
    lines = [
        f"{head['requests']} requests in {head['groups']} groups, {head['texts']} different texts; seed {head['seed']}",
        f"{head['repeats']} are of a group that was asked before; backends would take {head['seconds']:.0f} s for all",
        "",
        f"{'':26}{'hit rate':>9}{'near':>7}{'of repeats':>12}{'wrong':>7}  share of near hits (95 %)"
        f"{'of all hits, at most':>22}{'seconds saved':>15}",
    ]
    rows = dict(found["caches"])
    if found["best_cosine"] is not None:
        rows[f"cosine {found['best_cosine']['least']:g}, best*"] = found["best_cosine"]
    for name, one in rows.items():
        low, high = one["near_wrong_interval"]
        share = f"{one['near_wrong_share']:.2%}" if one["near"] else "-"
        lines.append(
            f"{name:26}{one['hit_rate']:>9.1%}{one['near']:>7}{one['right_of_repeats']:>12.1%}"
            f"{one['near_wrong']:>7}  {share:>8} ({low:.2%} to {high:.2%})"
            f"{one['hits_wrong_interval'][1]:>18.2%}{one['seconds_saved_share']:>15.1%}"
        )
    lines.append("")
    if found["best_cosine"] is None:
        lines.append(
            f"* no cosine up to {SCANNED[-1]:g} keeps wrong hits under {found['bound']:.1%} of all hits at most"
        )
    else:
        lines.append(
            f"* the least one that keeps wrong hits under {found['bound']:.1%} of all hits at most, in hindsight"
        )
    return "\n".join(lines)
