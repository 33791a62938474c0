"""The pure room: keys, the exact tier, storing, and the simple verdict."""

from __future__ import annotations

from typing import Final

import numpy as np

from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import CacheKeys, derive
from balancer.cache.store import CacheLimits, CacheStore
from balancer.cache.verdict import judge
from scripts.bench_cache_parts.timing import in_turns, show

ROUNDS: Final = 2000
_DIMENSION: Final = 384
_QUESTION: Final = "Is ibuprofen safe during the first 3 months of pregnancy?"


def bench_room() -> None:
    """One scope of 10,000 entries."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((10_000, _DIMENSION)).astype(np.float32)
    store = CacheStore(CacheLimits(max_entries=10_000, max_bytes=1 << 30))
    stored = [ask(f"Question {number}?") for number in range(len(vectors))]
    for keys, vector in zip(stored, vectors, strict=True):
        store.put(keys, answer(keys), vector, 0.0)
    keys, entry = ask("Is it so?"), answer(ask("Is it so?"))
    long = "You are a careful assistant. " * 850
    times = in_turns(
        {
            "keys of a short chat": lambda: ask(_QUESTION),
            "keys of a 24 KB chat": lambda: ask(_QUESTION, long),
            "exact hit": lambda: store.lookup_exact(stored[5000], 1.0),
            "exact miss": lambda: store.lookup_exact(keys, 1.0),
            "entry made": lambda: answer(keys),
            "simple verdict on two questions": lambda: judge(_QUESTION, _QUESTION + "?", 0.99),
            "near lookup among 10,000, refused": lambda: store.lookup_near(keys, vectors[0] + vectors[1], 1.0),
            "near lookup among 10,000, served": lambda: store.lookup_near(ask("Question 3 ?"), vectors[3], 1.0),
            "stored, without vector, one evicted": lambda: store.put(keys, entry, None, 1.0),
        },
        ROUNDS,
        block=100,
    )
    show("the store", times, "us")
    print(f"  bytes counted per entry with vector: {store.size_bytes // len(store)}")


def ask(text: str, system: str = "Be kind.") -> CacheKeys:
    """The keys of a chat."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    body = {"model": "m", "messages": messages, "temperature": 0, "stream": True, "max_tokens": 100}
    return derive(body, tenant="local", model="m", endpoint="chat", embedder_id="e")


def answer(keys: CacheKeys) -> Entry:
    """Of fifty tokens."""
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
