"""What the cache costs, in microseconds of one core: ``scripts/bench_cache [--embedder]``."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from balancer.adapters.embedder.process import Embedder
from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import CacheKeys, derive
from balancer.cache.store import CacheLimits, CacheStore
from balancer.cache.verdict import judge

DIMENSION = 384
ROUNDS = 2000
EMBEDDED = 200
IDLE_S = 2.0
TICK_S = 0.002
QUESTION = "Is ibuprofen safe during the first 3 months of pregnancy?"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", action="store_true", help="also the embedding child and the loop's lag beside it")
    options = parser.parse_args()
    bench_room()
    if options.embedder:
        asyncio.run(bench_embedder())


def bench_room() -> None:
    """The pure room: one scope of 10,000 entries."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((10_000, DIMENSION)).astype(np.float32)
    store = CacheStore(CacheLimits(max_entries=10_000, max_bytes=1 << 30))
    stored = [ask(f"Question {number}?") for number in range(len(vectors))]
    for keys, vector in zip(stored, vectors, strict=True):
        store.put(keys, answer(keys), vector, 0.0)
    keys, entry = ask("Is it so?"), answer(ask("Is it so?"))
    long = "You are a careful assistant. " * 850
    print("microseconds per call, p50:")
    show("keys of a short chat", lambda: ask(QUESTION))
    show("keys of a 24 KB chat", lambda: ask(QUESTION, long))
    show("exact hit", lambda: store.lookup_exact(stored[5000], 1.0))
    show("exact miss", lambda: store.lookup_exact(keys, 1.0))
    show("entry made", lambda: answer(keys))
    show("stored, without vector, one evicted", lambda: store.put(keys, entry, None, 1.0))
    show("verdict on two questions", lambda: judge(QUESTION, QUESTION + "?", 0.99))
    show("near lookup among 10,000, refused", lambda: store.lookup_near(keys, vectors[0] + vectors[1], 1.0))
    show("near lookup among 10,000, served", lambda: store.lookup_near(ask("Question 3 ?"), vectors[3], 1.0))
    print(f"bytes counted per entry with vector: {store.size_bytes // len(store)}")


def ask(text: str, system: str = "Be kind.") -> CacheKeys:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    body = {"model": "m", "messages": messages, "temperature": 0, "stream": True, "max_tokens": 100}
    return derive(body, tenant="local", model="m", endpoint="chat", embedder_id="e")


def answer(keys: CacheKeys) -> Entry:
    return entry_for(
        keys,
        text="word " * 50,
        finish_reason="stop",
        answered_by="m",
        backend="b",
        prompt_tokens=9,
        completion_tokens=50,
        now=0.0,
        ttl_s=3600.0,
    )


def show(name: str, call: Callable[[], Any]) -> None:
    times_us = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        times_us.append(1e6 * (time.perf_counter() - started))
    print(f"  {name:40} {statistics.median(times_us):8.1f}")


async def bench_embedder() -> None:
    """One short question at a time through the pipe, and how late the loop is while the child loads and works."""
    loop = asyncio.get_running_loop()
    idle_until = loop.time() + IDLE_S
    await lags("idle loop", lambda: loop.time() < idle_until)
    embedder = Embedder()
    started = loop.time()
    await embedder.start()
    await lags("loop while the embedder loads", lambda: not embedder.ready and embedder.failure is None)
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
    await lags("loop while it embeds", lambda: embedder.ready and len(times_ms) < EMBEDDED)
    p50, p99 = statistics.median(times_ms), statistics.quantiles(times_ms, n=100)[98]
    print(f"one short question through the pipe: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    await embedder.stop()


async def lags(name: str, going: Callable[[], bool]) -> None:
    late_ms = []
    while going():
        started = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late_ms.append(1000 * (time.perf_counter() - started - TICK_S))
    p50, p99 = statistics.median(late_ms), statistics.quantiles(late_ms, n=100)[98]
    print(f"{name}: lag p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {max(late_ms):.1f} ms")


if __name__ == "__main__":
    main()
