"""The cache as an exchange uses it: the pure store, the embedder beside it, and the time one may wait for the other.

A question is embedded at most once: on the lookup, or, where that was skipped, after its answer was stored. A
request never waits for the embedder longer than ``wait_s``; what arrives later still serves the store. The learned
verdict judges the vectors of the embedder it was trained with. A text it can't read has no near answer and is none:
the simple verdict does not stand in for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from balancer.cache.control import cache_control
from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import CacheKeys, KeyRules, derive
from balancer.cache.learned import LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.store import CacheStore, Hit
from balancer.exchange.journal import Answer
from balancer.exchange.ports import Clock, Embedder, Embedding, Vector
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.jsontext import encode_sorted

log = logging.getLogger(__name__)


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

    def exact(self, request: Request, keys: CacheKeys) -> Hit | None:
        """The answer to an equal request."""
        if not cache_control(request.cache).look:
            self._store.count_skip(request.cache)
            return None
        if keys.exact is None:
            self._store.count_skip(keys.skip or "uncacheable")
            return None
        return self._store.lookup_exact(keys, self._clock.time())

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

    def read(self, keys: CacheKeys, embedding: Embedding) -> Reading | None:
        """What the learned verdict keeps of the question; ``None`` where it does not judge, or can't read it."""
        verdict, vector, tokens = self._learned(), embedding.vector, embedding.token_vectors
        if verdict is None or vector is None or tokens is None:
            return None
        try:
            return verdict.read(keys.text, vector, tokens)
        except Exception as error:  # whatever a text does to it, the request goes on
            _tell_of(error)
            return None

    def near(self, keys: CacheKeys, vector: Vector | None, reading: Reading | None) -> Hit | None:
        """The nearest entry whose answer may serve; ``vector`` ``None``: the embedder took too long."""
        hit = skip = None
        if vector is None:
            skip = "embedder_late"
        elif reading is None and self._learned() is not None:
            skip = "unread"
        else:
            try:
                hit = self._store.lookup_near(keys, vector, self._clock.time(), reading)
            except Exception as error:
                _tell_of(error)
                skip = "verdict_failed"
        if hit is None:
            self._store.count_miss(skip)
        return hit

    def store(
        self,
        request: Request,
        keys: CacheKeys,
        answer: Answer,
        backend: str,
        embedding: Embedding | None,
        reading: Reading | None = None,
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
        if not self._store.put(keys, entry, None, now) or keys.scope is None or self._embedder is None:
            return
        if embedding is not None and embedding.vector is not None:
            self._attach(keys, embedding, reading)
            return
        ticket = self._embedder.submit(keys.text, lambda _: self._attach(keys, ticket, None), background=True)

    def _attach(self, keys: CacheKeys, embedding: Embedding | None, reading: Reading | None) -> None:
        if embedding is None or embedding.vector is None:
            return
        reading = reading or self.read(keys, embedding)
        if reading is None and self._learned() is not None:
            self._store.counters.vector_refusals += 1  # nothing could be compared with it
            return
        self._store.attach(keys, embedding.vector, self._clock.time(), reading)

    def _learned(self) -> LearnedVerdict | None:
        """The learned verdict, where it knows the embedder that there is."""
        verdict, embedder = self._store.verdict, self._embedder
        known = verdict is not None and embedder is not None and embedder.id == verdict.embedder_id
        return verdict if known else None

    def purge(self, *, tenant: str | None = None, model: str | None = None) -> int:
        """Forget entries; returns how many."""
        return self._store.purge(tenant=tenant, model=model)

    def advance(self, now: float) -> None:
        """Every tick: drop what has expired."""
        self._store.expire(now)

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        embedder = self._embedder.stats() if self._embedder is not None else None
        verdict = "learned" if self._learned() is not None else "simple"
        return {**self._store.stats(), "verdict": verdict, "embedder": embedder}


def _tell_of(error: Exception) -> None:
    """By its kind alone: its words may hold those of a request."""
    log.warning("the verdict failed on a question, which has no near answer: %s", type(error).__name__)


def entry_events(entry: Entry, request: Request, model: str, created: int) -> bytes:
    """An entry as the events of an ordinary stream; ``created`` in Unix seconds."""
    endpoint, answer_id = request.endpoint, openai.answer_id(request.endpoint, request.id)
    usage = None
    if entry.completion_tokens is not None:
        usage = openai.usage_of(entry.prompt_tokens or 0, entry.completion_tokens)
    text = openai.text_event(endpoint, answer_id, model, created, entry.text)
    return text + openai.final_events(endpoint, answer_id, model, created, entry.finish_reason, usage)
