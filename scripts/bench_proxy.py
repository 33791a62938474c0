"""What a proxied request costs: ours beside HAProxy, nginx and whatever else is installed, in one run.

    scripts/bench_proxy [--quick] [--only NAME] [--write]

All stand in front of the same two mock engines. The balancer runs on one CPU, engines and clients on another; what a
request costs is the CPU time of the balancer's processes by the kernel's accounting, which a busy machine disturbs
less than requests a second. Compare only figures of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop

from balancer.admin_client import ask
from scripts.bench import report
from scripts.bench.load import Shape, drive
from scripts.bench.measure import FULL, QUICK, Amount, Figures, Measured
from scripts.bench.targets import Running, Target, all_targets, free_port

READY_S = 180.0


def main() -> None:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: under two minutes")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this one; may be given several times")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})  # clients; engines inherit it
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_all(Path(folder), QUICK if options.quick else FULL, options.only, cpus[0])
    print(report.table(rows))


def measure_all(folder: Path, amount: Amount, only: list[str] | None, cpu: int) -> dict[str, Figures]:
    """Rows of the table: every target that is installed, after the engines themselves."""
    engines = [free_port(), free_port()]
    targets = [target for target in all_targets(engines, folder) if only is None or target.name in only]
    rows: dict[str, Figures] = {}
    with ExitStack() as stack:
        for port in engines:
            command = [sys.executable, "-m", "scripts.bench.mock_engine", str(port)]
            stack.enter_context(Running(command, max(os.sched_getaffinity(0)))).listens(port)
        direct = Measured(engines[0], None, amount, folder, children_apart=False)
        uvloop.run(direct.http())
        rows["direct"] = direct.figures
        for target in targets:
            if target.command is None:
                print(f"{target.name}: not installed, skipped ({target.missing})", file=sys.stderr)
                continue
            print(f"{target.name} ...", file=sys.stderr)
            rows |= measure(target, amount, folder, cpu)
    for figures in rows.values():
        for name in ("p50_ms", "p99_ms"):
            if name in figures:
                figures["added_" + name] = figures[name] - rows["direct"][name]
    return rows


def measure(target: Target, amount: Amount, folder: Path, cpu: int) -> dict[str, Figures]:
    """One target's row; ours has another for native lines."""
    assert target.command is not None
    with Running(target.command, cpu) as running:
        running.listens(target.port)
        uvloop.run(_ready(target))
        measured = Measured(target.port, running.pid, amount, folder, children_apart=target.admin_port is not None)
        uvloop.run(measured.http())
        rows = {target.name: measured.figures}
        if target.admin_port is not None:
            lines = Measured(target.port, running.pid, amount, folder, children_apart=True)
            uvloop.run(lines.native())
            rows[target.name + ", native"] = lines.figures
    return rows


async def _ready(target: Target) -> None:
    """Until it answers and, with ours, the embedder has its model."""
    begin = time.monotonic()
    while time.monotonic() - begin < READY_S:
        tally = await drive(target.port, Shape(), connections=1, requests=1)
        embedder = (_cache(target) or {}).get("embedder")
        if not tally.failed and (embedder is None or embedder["ready"]):
            return
        await asyncio.sleep(0.3)
    raise TimeoutError(f"{target.name} was not ready within {READY_S:g} s")


def _cache(target: Target) -> dict[str, dict[str, object]] | None:
    if target.admin_port is None:
        return None
    found: dict[str, dict[str, object]] | None = ask(f"127.0.0.1:{target.admin_port}", "GET", "/status")["cache"]
    return found


if __name__ == "__main__":
    main()
