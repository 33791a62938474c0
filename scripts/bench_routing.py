"""Routing policies on engines in real time: ours beside sglang's router, and what the simulator foretold of ours.

    scripts/bench_routing [WORKLOAD...] [--rate N] [--seeds N] [--quick] [--only NAME] [--write | --json]

Eight engines are one process that keeps the simulator's model (``scripts/simulate_parts/engine.py``) in real time,
each on a port of its own, and speaks as a vLLM would. Each balancer in turn stands in front of fresh ones and gets the
same arrivals, drawn from the seed. Times to the first token are taken at the client; hits are the engines' own count.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from balancer.doors.descriptors import raise_limit
from balancer.routing.policies import POLICIES
from scripts.bench.targets import ROUTER_PYTHON
from scripts.bench_routing_parts.plan import WORKLOADS
from scripts.bench_routing_parts.report import FORETOLD, Race, row, section, text, write
from scripts.bench_routing_parts.run import Course, Outcome, live, simulated
from scripts.bench_routing_parts.targets import CACHE_AWARE, NAMES, OURS, ROUND_ROBIN

QUICK_SECONDS, QUICK_RATE = 30.0, 60.0
"""Caches are still cold: a look, and no figures to keep."""
QUICK = ("shared",)
QUICK_TARGETS = (OURS, CACHE_AWARE, ROUND_ROBIN)
HOPELESS = 0.1


def main() -> None:
    """Measure, print, perhaps write."""
    options = _options()
    raise_limit()  # children inherit it
    load, skipped, races = os.getloadavg()[0], list[str](), list[Race]()
    for name in options.workloads:
        workload = WORKLOADS[name]
        for rate in [options.rate] if options.rate else workload.rates:
            seconds = options.seconds or workload.seconds
            seeds = range(1, 1 + options.seeds)
            courses = [Course(workload, rate, seed, seconds, options.slower) for seed in seeds]
            races.append(_race(name, courses, options.only or NAMES, options.policy, skipped))
            print(text(races[-1]) + "\n", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([race._asdict() for race in races]))
    for name in dict.fromkeys(race.workload for race in races):
        found = section(
            [race for race in races if race.workload == name], options.policy, options.slower, skipped, load
        )
        if not options.json:
            print(found + "\n")
        if options.write:
            write(found, name)


def _race(name: str, courses: Sequence[Course], targets: Sequence[str], policy: str, skipped: list[str]) -> Race:
    rows = {}
    for target in targets:
        print(f"{name}, {courses[0].rate:g} requests/s: {target} ...", file=sys.stderr, flush=True)
        outcomes = _outcomes(courses, target, policy)
        if outcomes:
            rows[target] = row(outcomes)
        else:
            skipped.append(target)
        if target == OURS:
            rows[FORETOLD] = row([simulated(course, policy) for course in courses])
    about = courses[0].workload.about
    return Race(name, about, courses[0].rate, [course.seed for course in courses], rows)


def _outcomes(courses: Sequence[Course], target: str, policy: str) -> list[Outcome]:
    """None if it is not installed; only the first of who cannot carry the load, which tells it all."""
    found: list[Outcome] = []
    for course in courses:
        outcome = live(course, target, policy)
        if outcome is None:
            break
        found.append(outcome)
        if outcome.found.unanswered > HOPELESS * outcome.found.requests:
            break
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all if none is named"
    )
    parser.add_argument("--quick", action="store_true", help="one seed and a short course: under three minutes")
    parser.add_argument("--rate", type=float, help="requests a second, instead of the workload's own")
    parser.add_argument("--seeds", type=int, help="how many; default 3")
    parser.add_argument("--seconds", type=float, help="of arrivals, instead of the workload's own")
    parser.add_argument(
        "--slower", type=float, default=1.0, help="real seconds for each of the model's: for a slow machine"
    )
    parser.add_argument("--policy", choices=sorted(POLICIES), default="adaptive", help="ours; default %(default)s")
    parser.add_argument("--only", action="append", choices=NAMES, help="only this one; may be given several times")
    parser.add_argument(
        "--router-python", metavar="PATH", help=f"where sglang-router is installed; default ${ROUTER_PYTHON}"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the figures into docs/routing.md, each workload's in its place"
    )
    parser.add_argument("--json", action="store_true", help="print them for programs")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; known are {', '.join(WORKLOADS)}")
    if options.quick:
        options.workloads = options.workloads or QUICK
        options.seeds = options.seeds or 1
        options.seconds = options.seconds or QUICK_SECONDS
        options.rate = options.rate or QUICK_RATE
        options.only = options.only or QUICK_TARGETS
    options.workloads = options.workloads or list(WORKLOADS)
    options.seeds = options.seeds or 3
    if options.router_python:
        os.environ[ROUTER_PYTHON] = options.router_python
    return options


if __name__ == "__main__":
    main()
