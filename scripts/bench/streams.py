"""Many streams open at once: what each of them weighs, and whether the balancer still turns quickly under them.

Engines emit a token each gap; clients open their streams one after the other and then hold them. Both are spread over
several processes, since a process may have only so many descriptors.
"""

from __future__ import annotations

import asyncio
import math
import re
import resource
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from balancer.doors.descriptors import KEPT_BACK_SHARE
from scripts.bench.accounting import Meter, rss_mb
from scripts.bench.load import Shape, drive
from scripts.bench.stream_clients import Told
from scripts.bench.targets import Target, haproxy, keys_in, ours

ENGINES = 3
SLOTS = 10_000
"""Of each engine."""
CLIENTS = 2
PROBE_EVERY_S = 0.05
POLL_S = 0.25
SLACK_S = 5.0
SAID_WITHIN_S = 30.0
END_S = 120.0
PER_STREAM = 2
"""Descriptors in the balancer: the client's and the engine's."""
OTHERS = 64
"""Listeners, the probe, connections kept from before, the embedder."""
_LAG = "llm_balancer_event_loop_lag_seconds_bucket"
_LAG_LINE = re.compile(rf'^{_LAG}\{{le="([^"]+)"\}} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """So many streams at such a pace, opened within ``open_s`` and then measured for ``seconds``."""

    count: int
    per_s: float
    open_s: float
    seconds: float

    @property
    def title(self) -> str:
        return f"{self.count:,} at {self.per_s:g}/s"

    @property
    def gap_ms(self) -> int:
        return round(1000 / self.per_s)

    @property
    def last_s(self) -> float:
        """When streams end, counted from the first one: opening may take half as long again as planned."""
        return 1.5 * self.open_s + SLACK_S + self.seconds


FULL = (Held(1000, 20, 4, 12), Held(9000, 2, 15, 12))
QUICK = (Held(200, 20, 0.5, 4), Held(2000, 2, 2.5, 4))


def targets(engines: Sequence[int], folder: Path) -> list[Target]:
    """Ours with all of its parts but the embedder, and HAProxy."""
    urls = [f"http://127.0.0.1:{port};slots={SLOTS}" for port in engines]
    keys = keys_in(folder)
    connections = fitting(SLOTS)
    livez = "    http-request return status 200 if { path /livez }\n"
    return [
        ours("ours", urls, "--keys", keys, "--no-embedder"),
        ours("ours, compiled", urls, "--keys", keys, "--no-embedder", compiled=True),
        haproxy(engines, folder, connections=connections, rules=livez),
    ]


def fitting(count: int) -> int:
    """As many of these streams as a balancer can hold with the descriptors that this process and its children may
    have; ours keeps back a share for others than clients."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return count
    return min(count, (int(limit * (1 - KEPT_BACK_SHARE)) - OTHERS) // PER_STREAM)


async def measure(port: int, pid: int, admin_port: int | None, held: Held) -> dict[str, float]:
    """The figures of one row, by the names of `scripts.bench.report.STREAMS`."""
    await drive(port, Shape(2), connections=8, requests=64)
    figures = {"before_mb": rss_mb(pid)}
    count = fitting(held.count)
    if count < held.count:
        print(f"only {count:,} of {held.count:,} streams: the descriptor limit", file=sys.stderr)
    async with Clients(port, held, count) as clients:
        await clients.all_open(held)
        await _window(port, pid, admin_port, held.seconds, clients, figures)
        told = await clients.ended()
    figures["lost"] = told.asked_tokens - told.tokens
    figures["failed"] = told.failed
    return figures


async def _window(
    port: int, pid: int, admin_port: int | None, seconds: float, clients: Clients, figures: dict[str, float]
) -> None:
    """While all streams are open."""
    loop = asyncio.get_running_loop()
    lag_before = await loop.run_in_executor(None, lag_counts, admin_port)
    before = await clients.told()
    begin = time.monotonic()
    with Meter(pid) as meter:
        latencies_s = await probe(port, seconds)
    taken_s = time.monotonic() - begin
    after = await clients.told()
    lag_after = await loop.run_in_executor(None, lag_counts, admin_port)
    tokens = after.tokens - before.tokens
    used_s = meter.own_s + meter.below_s
    figures["open"] = min(before.streaming, after.streaming)
    figures["mb"] = rss_mb(pid)  # at the end: what is kept of an answer grows with it
    figures["kb_stream"] = 1024 * (figures["mb"] - figures["before_mb"]) / max(before.streaming, 1)
    figures["tokens_s"] = tokens / taken_s
    figures["core"] = used_s / taken_s
    figures["us_token"] = 1e6 * used_s / max(tokens, 1)
    if lag_after:
        within = {bound: lag_after[bound] - lag_before.get(bound, 0.0) for bound in lag_after}
        figures["lag_p99_ms"] = 1000 * bound_of(within, 0.99)
    latencies_s.sort()
    for name, share in (("probe_p50_ms", 0.5), ("probe_p99_ms", 0.99)):
        figures[name] = 1000 * latencies_s[min(len(latencies_s) - 1, int(share * len(latencies_s)))]


class Clients:
    """The processes that hold the streams."""

    def __init__(self, port: int, held: Held, count: int) -> None:
        self._commands = [
            [str(value) for value in (port, share, held.gap_ms, held.open_s, held.last_s)]
            for share in (count // CLIENTS + (number < count % CLIENTS) for number in range(CLIENTS))
        ]
        self._count = count
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Clients:
        for command in self._commands:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "scripts.bench.stream_clients",
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def all_open(self, held: Held) -> None:
        """Wait for that; not so long that streams end before they are measured."""
        give_up_at = time.monotonic() + held.last_s - held.seconds - SLACK_S / 2
        while (await self.told()).streaming < self._count and time.monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)  # they run in other processes

    async def told(self) -> Told:
        """What came so far, in all processes."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
        return _sum([await _line(process, SAID_WITHIN_S) for process in self._processes])

    async def ended(self) -> Told:
        """When all streams have ended."""
        return _sum([await _line(process, END_S) for process in self._processes])


async def _line(process: asyncio.subprocess.Process, within_s: float) -> Told:
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        return msgspec.json.decode(await process.stdout.readline(), type=Told)


def _sum(parts: list[Told]) -> Told:
    return Told(*(sum(values) for values in zip(*map(msgspec.structs.astuple, parts), strict=True)))


async def probe(port: int, seconds: float) -> list[float]:
    """How long ``GET /livez`` takes, asked on one connection all the while; in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies_s, begin = [], time.monotonic()
    while time.monotonic() - begin < seconds:
        asked_at = time.perf_counter()
        writer.write(b"GET /livez HTTP/1.1\r\nhost: bench\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        latencies_s.append(time.perf_counter() - asked_at)
        await asyncio.sleep(PROBE_EVERY_S)
    writer.close()
    return latencies_s


def lag_counts(admin_port: int | None) -> dict[float, float]:
    """How often the event loop turned at most so many seconds late, by its own count; empty for others than ours."""
    if admin_port is None:
        return {}
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=SAID_WITHIN_S) as answer:
        return lag_in(answer.read().decode())


def lag_in(text: str) -> dict[float, float]:
    """The same, of Prometheus text."""
    return {float(bound): float(count) for bound, count in _LAG_LINE.findall(text)}


def bound_of(cumulative: dict[float, float], share: float) -> float:
    """The bound of the bucket that this share of the observations ends in; NaN if there are none."""
    total = max(cumulative.values(), default=0.0)
    if not total:
        return math.nan
    return min(bound for bound, count in cumulative.items() if count >= share * total)
