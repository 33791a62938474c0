"""Routing policies on simulated engines, in virtual time: ``scripts/simulate [WORKLOAD...] [--policy NAME]...``.

The balancer's own policies, pool, ledger, breaker and queue; engines as a model (``scripts/simulation/engine.py``);
heartbeats with delay and loss. The same seed gives the same table. ``--list`` tells the workloads.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping

from balancer.routing.policies import POLICIES, UNOFFERED
from balancer.routing.policy import Policy
from scripts.simulation.cache_aware import CacheAware
from scripts.simulation.clock import Clock
from scripts.simulation.cluster import Cluster
from scripts.simulation.report import HEAD, Result, line, result
from scripts.simulation.workloads import WORKLOADS, Workload

ENDS_WITHIN_S = 60.0
"""What runs when the last request has arrived may take so long."""
WARM_UP = 0.4
"""The part of the time that is not counted."""

COMPARED: Mapping[str, Callable[[], Policy]] = {
    **{name: make for name, make in POLICIES.items() if name != "priority"},
    **UNOFFERED,
    CacheAware.name: CacheAware,
}


def simulate(workload: Workload, policy: str, rate: float, seed: int) -> Result:
    """One run."""
    rng = random.Random(seed)
    clock = Clock()
    cluster = Cluster(clock, COMPARED[policy](), workload.setting, random.Random(rng.random()))
    workload.plan(cluster, random.Random(rng.random()), rate, workload.seconds)
    clock.run(workload.seconds + ENDS_WITHIN_S)
    return result(cluster.begun, len(cluster.engines), WARM_UP * workload.seconds, workload.seconds)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="all if none is named")
    parser.add_argument("--policy", action="append", choices=sorted(COMPARED), help="all if none is named")
    parser.add_argument("--rate", type=float, help="requests a second, instead of the workload's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="tell the workloads and end")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; known are {', '.join(WORKLOADS)}")
    for name in options.workloads or WORKLOADS:
        workload = WORKLOADS[name]
        if options.list:
            print(f"{name}: {workload.about}, at {', '.join(f'{rate:g}' for rate in workload.rates)} requests/s")
            continue
        for rate in [options.rate] if options.rate else workload.rates:
            print(f"\n{name}: {workload.about}, {rate:g} requests/s, seed {options.seed}\n\n{HEAD}", flush=True)
            for policy in options.policy or COMPARED:
                print(line(policy, simulate(workload, policy, rate, options.seed)), flush=True)


if __name__ == "__main__":
    main()
