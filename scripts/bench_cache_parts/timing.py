"""Several things timed in turns, so that a busy machine is as hard on one as on the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Times(NamedTuple):
    """Of one thing, in milliseconds."""

    p50: float
    p99: float
    cpu: float
    """Processor time that four in five calls need at least: the least that others on the machine can change."""


def in_turns(calls: Mapping[str, Callable[[], Any]], rounds: int, block: int = 5) -> dict[str, Times]:
    """Each call ``rounds`` times, ``block`` of them at a time, as a process does that does nothing else."""
    walls: dict[str, list[float]] = {name: [] for name in calls}
    cpus: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # the first is slow
    for _ in range(max(1, rounds // block)):
        for name, call in calls.items():
            for _ in range(block):
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                cpus[name].append(1000 * (time.process_time() - cpu))
                walls[name].append(1000 * (time.perf_counter() - wall))
    return {
        name: Times(statistics.median(walls[name]), _quantile(walls[name], 0.99), _quantile(cpus[name], 0.2))
        for name in calls
    }


def show(title: str, times: Mapping[str, Times], unit: str = "ms") -> None:
    """A table."""
    factor = 1000 if unit == "us" else 1
    print(f"{title} [{unit}]{'p50':>{68 - len(title)}}{'p99':>10}{'CPU p20':>10}")
    for name, one in times.items():
        print(f"  {name:62}" + "".join(f"{factor * number:10.{1 if unit == 'us' else 2}f}" for number in one))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
