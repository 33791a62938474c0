"""What a proxied request costs: ours beside HAProxy, nginx and whatever else is installed, in one run.

    scripts/bench_proxy [--quick] [--only NAME] [--part NAME] [--write]

All stand in front of the same two mock engines. The balancer runs on one CPU, engines and clients on another; what a
request costs is the CPU time of the balancer's processes by the kernel's accounting, which a busy machine disturbs
less than requests a second. They are asked in turn, several rounds; the figures are medians. Compare only those of one
run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from balancer.commands.admin_client import ask
from balancer.doors.descriptors import raise_limit
from scripts.bench import pool, report, streams
from scripts.bench.load import Shape, drive
from scripts.bench.measure import FULL, QUICK, Amount, Figures, Measured, middle_of, ratios_of
from scripts.bench.targets import ROUTER_PYTHON, Running, Target, all_targets, free_port, ours

READY_S = 180.0
PARTS = ("requests", "streams", "decisions", "beats")


def main() -> None:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: under three minutes")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this one; may be given several times")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given several times")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    parser.add_argument("--router-python", metavar="PATH", help="where sglang-router and vllm-router are installed")
    options = parser.parse_args()
    if options.write and options.part:
        parser.error("--write keeps the figures of all parts: leave out --part")
    if options.router_python:
        os.environ[ROUTER_PYTHON] = options.router_python
    raise_limit()  # children inherit it
    load = os.getloadavg()[0]
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})  # clients; engines inherit it
    with tempfile.TemporaryDirectory() as folder:
        amount, held = (QUICK, streams.QUICK) if options.quick else (FULL, streams.FULL)
        bench = Bench(Path(folder), amount, options.only, cpus)
        parts: dict[str, Callable[[], str]] = {
            "requests": bench.proxies,
            "streams": lambda: report.table(bench.streams(held), report.STREAMS),
            "decisions": lambda: report.table(pool.decisions(), report.DECISIONS),
            "beats": bench.beats,
        }
        tables = [make() for name, make in parts.items() if not options.part or name in options.part]
    text = report.section(tables, bench.skipped, load)
    print(text)
    if options.write:
        report.write(text)


class Bench:
    """One run over everything."""

    def __init__(self, folder: Path, amount: Amount, only: list[str] | None, cpus: list[int]) -> None:
        self._folder = folder
        self._amount = amount
        self._only = only
        self._cpus = cpus
        self.skipped: list[str] = []

    def proxies(self) -> str:
        """What everything that is installed costs, after the engines themselves; and how often HAProxy's price that is.

        They are asked in turn, round after round, so that what else the machine does meets all of them. Who is not
        asked stands still: an embedder that is behind would take the time of others.
        """
        engines = [free_port(), free_port()]
        rounds: dict[str, list[Figures]] = {}
        with ExitStack() as stack:
            self._engines(engines, stack)
            running = list(self._started(all_targets(engines, self._folder), stack))
            for number in range(self._amount.rounds):
                print(f"round {number + 1} of {self._amount.rounds} ...", file=sys.stderr)
                direct = self._measured(engines[0], None, children_apart=False)
                uvloop.run(direct.http(warm_up=number == 0))
                found = {"direct": direct.figures}
                for target, process in running:
                    process.go_on()
                    found |= self._target(target, process.pid, warm_up=number == 0)
                    process.pause()
                for name, figures in found.items():
                    for quantile in ("p50_ms", "p99_ms"):
                        if quantile in figures:
                            figures["added_" + quantile] = figures[quantile] - direct.figures[quantile]
                    rounds.setdefault(name, []).append(figures)
        tables = [report.table({name: middle_of(figures) for name, figures in rounds.items()})]
        if reference := rounds.get("HAProxy"):
            del rounds["direct"]
            ratios = {name: ratios_of(figures, reference) for name, figures in rounds.items()}
            tables.append(report.table(ratios, report.RATIOS))
        return "\n\n".join(tables)

    def _started(self, targets: Sequence[Target], stack: ExitStack) -> Iterator[tuple[Target, Running]]:
        """Each that is asked for and installed, paused once it answers."""
        for target in targets:
            if self._only is not None and target.name not in self._only:
                continue
            if target.command is None:
                self.skipped.append(f"{target.name} ({target.missing})")
                continue
            print(f"{target.name} ...", file=sys.stderr)
            running = stack.enter_context(Running(target.command, self._cpus[0]))
            running.listens(target.port)
            uvloop.run(_ready(target))
            running.pause()
            yield target, running

    def streams(self, shapes: Sequence[streams.Held]) -> dict[str, Figures]:
        """Rows of the table of many open streams; each has a process of its own."""
        engines, rows = [free_port() for _ in range(streams.ENGINES)], {}
        with ExitStack() as stack:
            self._engines(engines, stack)
            for held in shapes:
                for target in streams.targets(engines, self._folder):
                    if target.command is None or (self._only is not None and target.name not in self._only):
                        continue
                    print(f"{target.name}, {held.title} ...", file=sys.stderr)
                    with Running(target.command, self._cpus[0]) as running:
                        running.listens(target.port)
                        uvloop.run(_ready(target))
                        measured = streams.measure(target.port, running.pid, target.admin_port, held)
                        rows[f"{target.name}, {held.title}"] = uvloop.run(measured)
        return rows

    def _engines(self, ports: Sequence[int], stack: ExitStack) -> None:
        for port in ports:
            command = [sys.executable, "-m", "scripts.bench.mock_engine", str(port)]
            stack.enter_context(Running(command, self._cpus[-1])).listens(port)

    def beats(self) -> str:
        """What a thousand backends that beat cost, in a sentence or two."""
        said = []
        for target in (ours("ours", [], "--no-cache"), ours("ours, compiled", [], "--no-cache", compiled=True)):
            if target.command is None:
                continue
            with Running(target.command, self._cpus[0]) as running:
                running.listens(target.port)
                beating, alone = uvloop.run(pool.beats(target.port, running.pid))
            said.append(
                f"{target.name}: {pool.BEATING:,} backends that beat once a second take {beating:.1%} of a core; "
                f"{alone:.1%} is what the balancer takes without any."
            )
        return "\n".join(said)

    def _target(self, target: Target, pid: int, *, warm_up: bool) -> dict[str, Figures]:
        """One round of one target; ours has another for native lines."""
        ours = target.admin_port is not None
        http = self._measured(target.port, pid, children_apart=ours)
        uvloop.run(http.http(warm_up=warm_up))
        rows = {target.name: http.figures}
        if ours:
            native = self._measured(target.port, pid, children_apart=True)
            uvloop.run(native.native())
            rows[target.name + ", native"] = native.figures
        return rows

    def _measured(self, port: int, pid: int | None, *, children_apart: bool) -> Measured:
        return Measured(port, pid, self._amount, self._folder, children_apart=children_apart)


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
