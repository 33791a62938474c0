"""The cache as an exchange uses it: the pure store, the embedder beside it, and the time one may wait for the other.

A question is embedded at most once: on the lookup, or, where that was skipped, after its answer was stored. A
request never waits for the embedder longer than ``wait_s``; what arrives later still serves the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balancer.cache.control import cache_control
from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import CacheKeys, KeyRules, derive
from balancer.cache.store import CacheStore, Hit
from balancer.exchange.journal import Answer
from balancer.exchange.ports import Clock, Embedder, Embedding, Vector
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.jsontext import encode_sorted


class CacheLane:
    """What `balancer.exchange.exchange.Exchange` asks of the cache."""

    def __init__(
        self,
        store: CacheStore,
        embedder: Embedder | None,
        clock: Clock,
        *,
        wait_s: float,
        ttl_s: float,
        rules: KeyRules,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._wait_s = wait_s
        self._ttl_s = ttl_s
        self._rules = rules
        self._epoch = 0

    def keys(self, request: Request, model: str) -> CacheKeys:
        """The request's keys; hashes once."""
        return derive(
            request.body,
            tenant=request.tenant,
            model=model,
            endpoint=request.endpoint,
            epoch=self._epoch,
            embedder_id=self._embedder.id if self._embedder is not None else None,
            rules=self._rules,
            encode=encode_sorted,
        )

    def exact(self, request: Request, keys: CacheKeys) -> Entry | None:
        """The answer to an equal request."""
        if not cache_control(request.cache).look:
            self._store.count_skip(request.cache)
            return None
        if keys.exact is None:
            self._store.count_skip(keys.skip or "uncacheable")
            return None
        hit = self._store.lookup_exact(keys, self._clock.time())
        return hit.entry if hit is not None else None

    def embed(self, request: Request, keys: CacheKeys, callback: Callable[[Vector | None], None]) -> Embedding | None:
        """Embed the question for a near match, if that is worth waiting for; if not, a miss is counted.

        ``callback`` hears once, later, after ``wait_s`` at most (``None``: no vector in time).
        """
        if keys.exact is None or not cache_control(request.cache).look:
            return None
        skip = keys.near_skip
        if skip is None and not self._store.has_neighbours(keys):
            skip = "no_neighbours"
        ticket = None
        if skip is None and self._embedder is not None:
            ticket = self._embedder.submit(keys.text, callback, wait_s=self._wait_s)
        if ticket is None:
            self._store.count_miss(skip or "embedder_busy")
        return ticket

    def near(self, keys: CacheKeys, vector: Vector | None) -> Hit | None:
        """The nearest entry whose answer may serve; ``vector`` ``None``: the embedder took too long."""
        hit = self._store.lookup_near(keys, vector, self._clock.time()) if vector is not None else None
        if hit is None:
            self._store.count_miss("embedder_late" if vector is None else None)
        return hit

    def store(
        self, request: Request, keys: CacheKeys, answer: Answer, backend: str, embedding: Embedding | None
    ) -> None:
        """Keep a complete answer; its question is embedded in the background if it was not before."""
        if keys.exact is None or not cache_control(request.cache).store or not answer.plain:
            return
        now = self._clock.time()
        entry = entry_for(
            keys,
            text=answer.text,
            finish_reason=answer.finish_reason or "",
            answered_by=answer.model,
            backend=backend,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            now=now,
            ttl_s=self._ttl_s,
        )
        vector = embedding.vector if embedding is not None else None
        stored = self._store.put(keys, entry, vector, now)
        if stored and vector is None and keys.scope is not None and self._embedder is not None:
            self._embedder.submit(keys.text, lambda late: self._attach(keys, late), background=True)

    def _attach(self, keys: CacheKeys, vector: Vector | None) -> None:
        if vector is not None:
            self._store.attach(keys, vector, self._clock.time())

    def purge(self, *, tenant: str | None = None, model: str | None = None) -> int:
        """Forget entries; returns how many."""
        return self._store.purge(tenant=tenant, model=model)

    def advance(self, now: float) -> None:
        """Every tick: drop what has expired."""
        self._store.expire(now)

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        embedder = self._embedder.stats() if self._embedder is not None else None
        return {**self._store.stats(), "embedder": embedder}


def entry_events(entry: Entry, request: Request, model: str, created: int) -> bytes:
    """An entry as the events of an ordinary stream; ``created`` in Unix seconds."""
    endpoint, answer_id = request.endpoint, openai.answer_id(request.endpoint, request.id)
    usage = None
    if entry.completion_tokens is not None:
        usage = openai.usage_of(entry.prompt_tokens or 0, entry.completion_tokens)
    text = openai.text_event(endpoint, answer_id, model, created, entry.text)
    return text + openai.final_events(endpoint, answer_id, model, created, entry.finish_reason, usage)
