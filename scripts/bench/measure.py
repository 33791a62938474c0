"""One balancer, asked in all ways; and what several rounds of that come to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bench.accounting import Meter, rss_mb
from scripts.bench.load import Shape, Tally, drive
from scripts.bench.wrk import drive_with_wrk, installed

CONNECTIONS = 32
SLOW_CONNECTIONS = 64
PACED_CONNECTIONS, PACED_PAUSE_S = 8, 0.01
TOKENS = 64
GAP_MS = 20
WARM_UP_S = 1.0

Figures = dict[str, float]
"""By the names of `scripts.bench.report.COLUMNS`; microseconds are of CPU time."""
COSTS = ("us_request", "us_short", "us_token", "us_token_gap")


@dataclass(frozen=True)
class Amount:
    """How many rounds, and how much is asked in each part of one."""

    rounds: int
    seconds: float
    paced: int
    short: int
    streams: int
    slow_streams: int


FULL = Amount(rounds=4, seconds=2, paced=800, short=6000, streams=320, slow_streams=128)
QUICK = Amount(rounds=1, seconds=2, paced=800, short=4000, streams=400, slow_streams=128)


def middle_of(rounds: Sequence[Figures]) -> Figures:
    """Medians; failures add up, and memory is that of the first round's beginning and of the last one's end."""
    found = {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
    found["failed"] = sum(figures["failed"] for figures in rounds)
    for name, figures in (("idle_mb", rounds[0]), ("mb", rounds[-1])):
        if name in figures:
            found[name] = figures[name]
    return found


def ratios_of(rounds: Sequence[Figures], reference: Sequence[Figures]) -> Figures:
    """What is costed in microseconds as a multiple of the reference's in the same round; the median of the rounds."""
    names = [name for name in COSTS if name in rounds[0] and name in reference[0]]
    pairs = list(zip(rounds, reference, strict=True))
    return {name: statistics.median(ours[name] / theirs[name] for ours, theirs in pairs) for name in names}


class Measured:
    """One round. ``pid`` ``None``: the engines themselves, without anything before them."""

    def __init__(self, port: int, pid: int | None, amount: Amount, folder: Path, *, children_apart: bool) -> None:
        self._port = port
        self._pid = pid
        self._amount = amount
        self._folder = folder
        self._children_apart = children_apart
        self.figures: Figures = {"failed": 0}

    async def http(self, *, warm_up: bool) -> None:
        """Whole answers at full load, whole answers at a tenth of it, and streams."""
        amount, figures = self._amount, self.figures
        if self._pid is not None:
            figures["idle_mb"] = rss_mb(self._pid)
        if warm_up:
            await self._plain(WARM_UP_S)
        with Meter(self._pid) as meter:
            tally = await self._plain(amount.seconds)
        self._cost("us_request", meter, tally.requests)
        if self._children_apart:
            figures["us_embedder"] = 1e6 * meter.below_s / tally.requests
        figures["requests_s"] = tally.requests / tally.seconds
        paced = await self._drive(Shape(), connections=PACED_CONNECTIONS, requests=amount.paced, pause_s=PACED_PAUSE_S)
        figures["p50_ms"], figures["p99_ms"] = paced.quantile_ms(0.5), paced.quantile_ms(0.99)
        await self._streams(native=False)
        if self._pid is not None:
            figures["mb"] = rss_mb(self._pid)

    async def native(self) -> None:
        """The same streams as lines."""
        await self._streams(native=True)

    async def _streams(self, *, native: bool) -> None:
        amount = self._amount
        with Meter(self._pid) as meter:
            tally = await self._drive(Shape(1), connections=CONNECTIONS, requests=amount.short, native=native)
        self._cost("us_short", meter, tally.requests)
        for name, connections, shape, requests in (
            ("us_token", CONNECTIONS, Shape(TOKENS), amount.streams),
            ("us_token_gap", SLOW_CONNECTIONS, Shape(TOKENS, GAP_MS), amount.slow_streams),
        ):
            with Meter(self._pid) as meter:
                tally = await self._drive(shape, connections=connections, requests=requests, native=native)
            self._cost(name, meter, tally.tokens)

    def _cost(self, name: str, meter: Meter, count: int) -> None:
        used_s = meter.own_s + (0.0 if self._children_apart else meter.below_s)
        self.figures[name] = 1e6 * used_s / max(count, 1)

    async def _plain(self, seconds: float) -> Tally:
        if not installed():
            return await self._drive(Shape(), connections=CONNECTIONS, seconds=seconds)
        return self._noted(await drive_with_wrk(self._port, self._folder, connections=CONNECTIONS, seconds=seconds))

    async def _drive(self, shape: Shape, **how: Any) -> Tally:
        return self._noted(await drive(self._port, shape, **how))

    def _noted(self, tally: Tally) -> Tally:
        self.figures["failed"] += tally.failed
        return tally
