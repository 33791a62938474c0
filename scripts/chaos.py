"""Backends are killed, frozen, slowed and restarted under load on all doors; no client may notice, no slot may leak.

Real processes on loopback: one balancer, echo backends, and clients in this process that ask once and repeat nothing.
The echo engine says what it is told, so every answer is held against the only right one, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click

from scripts.chaos_parts import doors, trouble
from scripts.chaos_parts.asks import make_ask
from scripts.chaos_parts.processes import Backend, Balancer, ChaosError
from scripts.chaos_parts.tally import Tally
from scripts.chaos_parts.trouble import Trouble

DELAY_MS: Final = 20.0
FREED_S: Final = 5.0
"""At the end the engines tell once more what they work on: they beat once a second."""
IDLE_CHECK_S: Final = 0.1

EXAMPLES: Final = """
\b
Examples:
  scripts/chaos                                   a minute, as in the test suite but longer
  scripts/chaos --seconds 600 --seed 7
  scripts/chaos --backends 8 --concurrency 100 --json
"""


class Run:
    """One run: everything is started, troubled, asked, and looked at in the end."""

    def __init__(self, seconds: float, seed: int, minutes: float, backends: int, concurrency: int, logs: Path) -> None:
        self._seconds = seconds
        self._minutes = minutes
        self._concurrency = concurrency
        self._rng = random.Random(seed)
        self._logs = logs
        self._balancer = Balancer(logs)
        self._backends: list[Backend] = []
        self._count = backends
        self._asked = 0
        self._storms = True
        self._ends_at = 0.0
        self.tally = Tally()
        self.events: dict[str, int] = {}
        self.left: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    @property
    def good(self) -> bool:
        """Nothing failed, nothing was wrong, nothing is left; and there was something to survive."""
        return not (self.tally.failed or self.tally.wrong or any(self.left.values())) and self.tally.requests > 0

    async def run(self) -> None:
        """Raises `ChaosError` if a process fails by itself."""
        try:
            await self._balancer.start()
            slots = max(4, 2 * self._concurrency // self._count)  # half of the backends could carry all
            port = self._balancer.port
            self._backends += [Backend(n, port, slots, DELAY_MS, self._logs) for n in range(self._count)]
            await asyncio.gather(*(backend.serve() for backend in self._backends))
            await self._until_alive()
            await self._storm()
            await self._look()
        finally:
            await asyncio.gather(*(program.kill() for program in (self._balancer, *self._backends)))

    async def _until_alive(self) -> None:
        while True:
            status = await self._balancer.status()
            if sum(each["state"] == "alive" for each in status["backends"]) == self._count:
                return
            await asyncio.sleep(IDLE_CHECK_S)

    async def _storm(self) -> None:
        trouble_ = Trouble(self._balancer, self._backends, random.Random(self._rng.random()))
        events = trouble.plan(self._rng, self._seconds, minutes=self._minutes)
        self._ends_at = time.monotonic() + self._seconds
        clients = [asyncio.create_task(self._client()) for _ in range(self._concurrency)]
        try:
            await trouble_.make(events)
            self._storms = False
            await asyncio.gather(*clients)
        finally:
            self.events = dict(trouble_.done)
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self) -> None:
        """Ask, be answered, ask the next one: until the time is over, and longer if the trouble is late."""
        rng = random.Random(self._rng.random())
        while self._storms or time.monotonic() < self._ends_at:
            self._asked += 1
            what = make_ask(rng, self._asked)
            self.tally.add(what, await doors.ask(self._balancer.port, what))

    async def _look(self) -> None:
        """What is left in the balancer and the engines, once the engines had time to tell."""
        ends_at = time.monotonic() + FREED_S
        while True:
            status = await self._balancer.status()
            self.left = {
                "in_flight": sum(each["in_flight"] for each in status["backends"]),
                "waiting": status["queue"]["waiting"],
                "exchanges": sum(status["exchanges"].values()),
                "running": sum((each["load"] or {}).get("running", 0) for each in status["backends"]),
            }
            self.counts = status["counts"]
            if not any(self.left.values()) or time.monotonic() > ends_at:
                return
            await asyncio.sleep(IDLE_CHECK_S)

    def figures(self) -> dict[str, Any]:
        """For programs."""
        found = {"good": self.good, **self.tally.figures()}
        return {**found, "events": self.events, "counts": self.counts, "left": self.left}


def table(figures: dict[str, Any]) -> str:
    """For people."""

    def pairs(found: dict[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in found.items())

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f} s"

    resumed = f"{figures['resumed_answers']} answers, {figures['resumed']} times"
    lines = [
        f"backends     {pairs(figures['events'])}",
        f"requests     {figures['requests']} ({pairs(figures['kinds'])})",
        f"failed       {figures['failed']}",
        f"wrong        {figures['wrong']}",
        f"resumed      {resumed}",
        f"retried      {figures['retried']}",
        f"answer       p50 {seconds(figures['p50_s'])}, p99 {seconds(figures['p99_s'])}",
        f"first token  p50 {seconds(figures['ttft_p50_s'])}, p99 {seconds(figures['ttft_p99_s'])} (streams)",
        f"balancer     {pairs(figures['counts'])}",
        f"at the end   {pairs(figures['left'])}",
        *(f"  {line}" for line in figures["told"]),
    ]
    return "\n".join(lines)


@click.command(epilog=EXAMPLES, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(5, 3600), default=60.0, help="How long clients ask.")
@click.option("--minutes", type=click.FloatRange(0.1, 60), default=None, help="Trouble of so many.  [default: seconds]")
@click.option("--seed", default=1, help="Decides what happens to whom and when, and what is asked.")
@click.option("--backends", type=click.IntRange(2, 16), default=4, help="Echo backends.")
@click.option("--concurrency", type=click.IntRange(1, 500), default=56, help="Clients that ask at the same time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def main(seconds: float, minutes: float | None, seed: int, backends: int, concurrency: int, as_json: bool) -> None:
    """Kill (10 a minute), freeze (5) and slow and restart (5) backends under load; check every answer.

    One backend at least is always left in peace, so no request may fail. Exits with 1 if one did, if an answer was
    not byte for byte what it must be, or if a slot is still taken at the end.
    """
    logs = Path(tempfile.mkdtemp(prefix="chaos-"))
    run = Run(seconds, seed, seconds / 60 if minutes is None else minutes, backends, concurrency, logs)
    trouble_said = ""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(run.run())
        except ChaosError as error:
            trouble_said = str(error)
    figures = run.figures()
    click.echo(json.dumps(figures) if as_json else table(figures))
    if run.good and not trouble_said:
        shutil.rmtree(logs)
        return
    click.echo(f"{trouble_said or 'not good'}\nthe programs' logs are in {logs}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main(prog_name="scripts/chaos")
