"""The figures of several seeds as a table, what the simulator foretold beside them, and their place in the docs."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.bench.accounting import machine
from scripts.bench.report import table
from scripts.bench.targets import router_version
from scripts.bench_routing_parts.run import ENGINES, Outcome
from scripts.bench_routing_parts.targets import CACHE_AWARE, OURS, ROUND_ROBIN

FILE = Path("docs/routing.md")
_BEGIN, _END = "<!-- scripts/bench_routing {} --write replaces this -->", "<!-- to here -->"
FORETOLD = "ours, simulated"
TTFT_WITHIN, HIT_WITHIN = 0.15, 0.02
"""Of the simulator's prediction: parts of p50 and p90, and of all prompt tokens."""
COLUMNS = {
    "p50_s": ("TTFT p50 s", ".3f"),
    "p90_s": ("p90", ".3f"),
    "p99_s": ("p99", ".3f"),
    "hit": ("hit", ".3f"),
    "busiest": ("busiest", ".2f"),
    "unanswered": ("unanswered", ".0f"),
    "added_p50_ms": ("added p50 ms", ".1f"),
    "balancer_ms": ("CPU ms", ".2f"),
}

Row = dict[str, float]


class Race(NamedTuple):
    """One workload at one rate; rows are means over the seeds."""

    workload: str
    about: str
    rate: float
    seeds: Sequence[int]
    rows: Mapping[str, Row]


def row(outcomes: Sequence[Outcome]) -> Row:
    """The mean of each figure; without those that only answers tell, if there was none."""
    results = [outcome.found for outcome in outcomes]
    found = {
        "requests": [float(result.requests) for result in results],
        "unanswered": [float(result.unanswered) for result in results],
        "late_p99_ms": [outcome.late_p99_ms for outcome in outcomes],
    }
    if all(result.unanswered < result.requests for result in results):
        found |= {
            "p50_s": [result.ttft_p50_s for result in results],
            "p90_s": [result.ttft_p90_s for result in results],
            "p99_s": [result.ttft_p99_s for result in results],
            "hit": [result.hit for result in results],
            "busiest": [result.busiest for result in results],
        }
    if any(outcome.balancer_ms for outcome in outcomes):
        found["balancer_ms"] = [outcome.balancer_ms for outcome in outcomes]
        found["added_p50_ms"] = [outcome.added_p50_ms for outcome in outcomes]
    return {name: statistics.fmean(values) for name, values in found.items()}


def text(race: Race) -> str:
    """Heading, table, and what follows from it in a line or two."""
    seeds = f"seed{'s' if len(race.seeds) > 1 else ''} {', '.join(map(str, race.seeds))}"
    parts = [
        f"{race.workload.capitalize()}: {race.about}, {race.rate:g} requests/s, {seeds}",
        table(race.rows, COLUMNS),
    ]
    return "\n\n".join([*parts, *filter(None, (_against_prediction(race.rows), _against_cache_aware(race.rows)))])


def _against_prediction(rows: Mapping[str, Row]) -> str:
    if not all("p50_s" in rows.get(name, {}) for name in (OURS, FORETOLD)):
        return ""
    live, foretold = rows[OURS], rows[FORETOLD]
    parts = {name: live[name] / foretold[name] for name in ("p50_s", "p90_s", "p99_s")}
    points = 100 * (live["hit"] - foretold["hit"])
    well = all(abs(parts[name] - 1) <= TTFT_WITHIN for name in ("p50_s", "p90_s")) and abs(points) <= 100 * HIT_WITHIN
    said = ", ".join(f"{name.removesuffix('_s')} {part:.2f} x" for name, part in parts.items())
    return f"Live beside simulated: {said}, hit {points:+.1f} points: {'as' if well else 'not as'} foretold."


def _against_cache_aware(rows: Mapping[str, Row]) -> str:
    if not all("p50_s" in rows.get(name, {}) for name in (OURS, CACHE_AWARE)):
        return ""
    live, other = rows[OURS], rows[CACHE_AWARE]
    parts = ", ".join(
        f"{name.removesuffix('_s')} {live[name] / other[name]:.2f} x" for name in ("p50_s", "p90_s", "p99_s")
    )
    return (
        f"Ours beside {CACHE_AWARE}: {parts}, hit {100 * (live['hit'] - other['hit']):+.1f} points."
        + _round_robins_p90(rows)
    )


def _round_robins_p90(rows: Mapping[str, Row]) -> str:
    turns = rows.get(ROUND_ROBIN)
    if turns is None:
        return ""
    if turns.get("p90_s", math.inf) == math.inf:
        return " Round robin left more than a tenth unanswered."
    return f" Round robin's p90 is {turns['p90_s'] / rows[OURS]['p90_s']:.1f} x ours."


def section(races: Sequence[Race], policy: str, slower: float, skipped: Sequence[str], load: float) -> str:
    """All of it, with what is needed to judge it."""
    late_ms = max((row["late_p99_ms"] for race in races for row in race.rows.values()), default=0.0)
    command = " ".join(["scripts/bench_routing", *sys.argv[1:]])
    facts = [
        f"{time.strftime('%d %B %Y, %H:%M', time.gmtime())} UTC, `{command}`",
        f"{machine()}; load average {load:.1f} before the run; clients' timers late by at most {late_ms:.1f} ms (p99)",
        f"{ENGINES} engines; ours is `{policy}`; {router_version('sglang-router') or 'no sglang-router'}",
    ]
    if slower != 1.0:
        facts.append(f"a second of the model took {slower:g}")
    if skipped:
        facts.append("not installed, so not measured: " + ", ".join(sorted(set(skipped))))
    return "\n".join(f"- {fact}" for fact in facts) + "\n\n" + "\n\n".join(map(text, races))


def write(found: str, workload: str) -> None:
    """Put the figures of one workload into docs/routing.md, in place of the last."""
    mark = _BEGIN.format(workload)
    before, begin, rest = FILE.read_text().partition(mark)
    if not begin or _END not in rest:
        raise RuntimeError(f"{FILE} has no place for the figures of {workload}")
    FILE.write_text(f"{before}{begin}\n{found}\n{_END}{rest.partition(_END)[2]}")
