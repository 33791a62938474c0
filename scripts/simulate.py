"""Routing policies on simulated engines, in virtual time: ``scripts/simulate [WORKLOAD...] [--policy NAME]...``.

The balancer's own policies, pool, ledger, breaker and queue; engines as a model (``scripts/simulate_parts/engine.py``);
heartbeats with delay and loss. The same seed gives the same table. ``--list`` tells the workloads.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from balancer.routing.policies import POLICIES
from balancer.routing.policy import Policy
from scripts.simulate_parts.cache_aware import CacheAware
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.cluster import Cluster
from scripts.simulate_parts.report import HEAD, Result, line, mean, result
from scripts.simulate_parts.workloads import WORKLOADS, Workload

ENDS_WITHIN_S = 60.0
"""What runs when the last request has arrived may take so long."""
WARM_UP = 0.4
"""The part of the time that is not counted."""

COMPARED: Mapping[str, Callable[[], Policy]] = {
    **{name: make for name, make in POLICIES.items() if name != "priority"},
    CacheAware.name: CacheAware,
}


def simulate(workload: Workload, policy: str, rate: float, seed: int) -> Result:
    """One run."""
    rng = random.Random(seed)
    clock = Clock()
    make, setting = COMPARED[policy], workload.setting
    others = [make() for _ in range(setting.balancers - 1)]
    cluster = Cluster(clock, make(), setting, random.Random(rng.random()), others)
    workload.plan(cluster, random.Random(rng.random()), rate, workload.seconds)
    clock.run(workload.seconds + ENDS_WITHIN_S)
    return result(cluster.begun, len(cluster.engines), WARM_UP * workload.seconds, workload.seconds)


def of_seeds(workload: Workload, policy: str, rate: float, seed: int, seeds: int) -> Result:
    """The mean of so many runs, the first with `seed`."""
    return mean([simulate(workload, policy, rate, each) for each in range(seed, seed + seeds)])


def main() -> None:
    """Simulate and print, or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="all if none is named")
    parser.add_argument("--policy", action="append", choices=sorted(COMPARED), help="all if none is named")
    parser.add_argument("--rate", type=float, action="append", help="requests a second, not the workload's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="the mean of N seeds, from --seed on")
    parser.add_argument("--seconds", type=float, help="how long requests arrive, instead of the workload's own time")
    parser.add_argument("--plot", metavar="FILE", help="draw TTFT over the rate as SVG, instead of tables (matplotlib)")
    parser.add_argument("--list", action="store_true", help="tell the workloads and end")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; known are {', '.join(WORKLOADS)}")
    names, policies, drawn = options.workloads or list(WORKLOADS), options.policy or list(COMPARED), []
    for name in names:
        workload = WORKLOADS[name]
        if options.list:
            print(f"{name}: {workload.about}, at {', '.join(f'{rate:g}' for rate in workload.rates)} requests/s")
            continue
        if options.seconds:
            workload = replace(workload, seconds=options.seconds)
        for rate in options.rate or workload.rates:
            seeds = f"seed {options.seed}" if options.seeds == 1 else f"mean of {options.seeds} seeds"
            print(f"\n{name}: {workload.about}, {rate:g} requests/s, {seeds}\n\n{HEAD}", flush=True)
            for policy in policies:
                found = of_seeds(workload, policy, rate, options.seed, options.seeds)
                drawn.append((name, rate, policy, found))
                print(line(policy, found), flush=True)
    if options.plot and drawn:
        from scripts.simulate_parts.plot import draw

        draw(drawn, options.plot)


if __name__ == "__main__":
    main()
