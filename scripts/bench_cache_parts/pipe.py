"""The embedding child: one short question at a time through the pipe, and how late the loop is beside it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Final

from balancer.adapters.embedder.process import Embedder

EMBEDDED: Final = 200
IDLE_S: Final = 3.0
TICK_S: Final = 0.002


async def bench_pipe() -> None:
    """The idle loop, the loop while the child loads, while it works, and idle again."""
    loop = asyncio.get_running_loop()
    await _idle("idle loop")
    embedder = Embedder()
    started = loop.time()
    await embedder.start()
    await _lags("loop while the embedder loads", lambda: not embedder.ready and embedder.failure is None)
    if embedder.failure is not None:
        raise SystemExit(embedder.failure)
    print(f"ready after {loop.time() - started:.1f} s")
    times_ms: list[float] = []

    def next_text() -> None:
        if len(times_ms) < EMBEDDED:
            asked = loop.time()
            text = f"How do I reset password number {len(times_ms)}?"
            embedder.submit(text, lambda _: arrived(asked))

    def arrived(asked: float) -> None:
        times_ms.append(1000 * (loop.time() - asked))
        next_text()

    next_text()
    await _lags("loop while it embeds", lambda: embedder.ready and len(times_ms) < EMBEDDED)
    p50, p99 = statistics.median(times_ms), statistics.quantiles(times_ms, n=100)[98]
    print(f"one short question through the pipe: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    await embedder.stop()
    await _idle("idle loop again")


async def _idle(name: str) -> None:
    until = asyncio.get_running_loop().time() + IDLE_S
    await _lags(name, lambda: asyncio.get_running_loop().time() < until)


async def _lags(name: str, going: Callable[[], bool]) -> None:
    late_ms = []
    while going():
        started = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late_ms.append(1000 * (time.perf_counter() - started - TICK_S))
    p50, p99 = statistics.median(late_ms), statistics.quantiles(late_ms, n=100)[98]
    print(f"{name}: lag p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {max(late_ms):.1f} ms")
