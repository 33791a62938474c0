"""The cache as an exchange uses it: the pure store, the embedder beside it, and the time one may wait for the other.

A question is embedded at most once: on the lookup, or, where that was skipped, after its answer was stored. A
request never waits for the embedder longer than ``wait_s``; what arrives later still serves the store. The learned
verdict judges the vectors of the embedder it was trained with. A text it can't read has no near answer and is none:
the simple verdict does not stand in for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from balancer.cache.control import cache_control
from balancer.cache.entry import Entry, entry_for
from balancer.cache.epochs import Epochs
from balancer.cache.keys import CacheKeys, KeyRules, derive
from balancer.cache.learned import LearnedVerdict
from balancer.cache.purge import Purge
from balancer.cache.question import question_of
from balancer.cache.reading import Reading
from balancer.cache.running import Match, Running, Side
from balancer.cache.store import CacheStore, Hit
from balancer.cache.timely import asks_about_now
from balancer.cache.unembedded import Unembedded, Waiting
from balancer.exchange.journal import Answer
from balancer.exchange.ports import Clock, Embedder, Embedding, Vector
from balancer.request import Request
from balancer.wire.jsontext import encode_sorted

if TYPE_CHECKING:
    from balancer.exchange.checking import Checks
    from balancer.exchange.trials import Trial, Trials

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Keeps the entries over a restart."""

    def advance(self, now: float) -> None:
        """Every tick."""

    def learn(self, trials: Trials) -> None:
        """Keep what near answers teach, too, and tell what they taught before."""

    def purged(self, purge: Purge) -> None:
        """These are forgotten, and not to come back."""

    def close(self) -> None: ...

    def stats(self) -> dict[str, Any]: ...


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
        ttl_timely_s: float = math.inf,
        epochs: Epochs | None = None,
        model: str = "",
    ) -> None:
        """``ttl_timely_s``: of answers to questions about the present. ``model``: the embedder's, as configured."""
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._wait_s = wait_s
        self._ttl_s = ttl_s
        self._rules = rules
        self._ttl_timely_s = ttl_timely_s
        self.epochs = epochs or Epochs()
        self.model = model
        self.running: Running[Any] = Running()
        """Questions that are being answered."""
        self.unembedded = Unembedded(store)
        self.keeper: Keeper | None = None
        """Who keeps the entries over a restart, if anybody does."""
        self.on_wrong: Callable[[Entry, float], object] | None = None
        """Told of every entry that is said to have answered wrongly, and when."""
        self.trials: Trials | None = None
        """What else decides on near answers, if anything does."""
        self.controls: Checks | None = None
        """Who may check hits on equal questions, too."""

    def keys(self, request: Request, model: str) -> CacheKeys:
        """The request's keys; hashes once."""
        return derive(
            request.body,
            tenant=request.tenant,
            model=model,
            endpoint=request.endpoint,
            epoch=self.epochs.of(model),
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
        if skip is None and not self._store.has_neighbours(keys) and not self.running.holds(keys.scope):
            skip = "no_neighbours"
        ticket = None
        if skip is None and self._embedder is not None:
            ticket = self._embedder.submit(keys.text, callback, wait_s=self._wait_s)
        if ticket is None:
            self._store.count_miss(skip or "embedder_busy")
        return ticket

    def embed_early(self, keys: CacheKeys, callback: Callable[[Vector | None], None]) -> Embedding | None:
        """Embed a question whose answer is being made, for those who ask one that means the same meanwhile."""
        if keys.scope is None or self._embedder is None or self._learned() is None:
            return None
        return self._embedder.submit(keys.text, callback, background=True)

    def match(self, keys: CacheKeys, side: Side) -> Match[Any] | None:
        """A question under way whose answer may serve."""
        verdict, trials, now = self._learned(), self.trials, self._clock.time()
        if verdict is None or (trials is not None and trials.shadow):
            return None
        try:
            found = self.running.match(keys, side, verdict)
        except Exception as error:
            _tell_of(error)
            return None
        if (
            found is not None
            and trials is not None
            and not trials.bound.admits(found.entry(now), found.probability, now)
        ):
            return None
        return found

    def joined(self, found: Match[Any]) -> None:
        """The request that asked shares that answer."""
        if self.trials is not None:
            now = self._clock.time()
            self.trials.bound.serves(found.entry(now), found.probability, now)

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

    def near(
        self, keys: CacheKeys, vector: Vector | None, reading: Reading | None, trial: Trial | None = None
    ) -> Hit | None:
        """The nearest entry whose answer may serve; ``vector`` ``None``: the embedder took too long."""
        hit = skip = None
        if vector is None:
            skip = "embedder_late"
        elif reading is None and self._learned() is not None:
            skip = "unread"
        else:
            try:
                hit = self._store.lookup_near(
                    keys, vector, self._clock.time(), reading, trial.admit if trial is not None else None
                )
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
        made_s: float = 0.0,
    ) -> bool:
        """Keep a complete answer; its question is embedded in the background if it was not before.

        ``made_s``: how long the backend took. False if it is not kept.
        """
        if keys.exact is None or not cache_control(request.cache).store or not answer.plain:
            return False
        now, ttl_s = self._clock.time(), self._ttl_s
        asked = keys.text or question_of(request.body)
        if self._ttl_timely_s < ttl_s and asks_about_now(asked):
            ttl_s = self._ttl_timely_s
        entry = entry_for(
            keys,
            text=answer.text,
            finish_reason=answer.finish_reason or "",
            answered_by=answer.model,
            backend=backend,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            now=now,
            ttl_s=ttl_s,
            made_s=made_s,
            asked=asked,
        )
        if not self._store.put(keys, entry, None, now):
            return False
        if keys.scope is None or self._embedder is None:
            return True
        if embedding is not None and embedding.vector is not None:
            self._attach(keys, embedding, reading)
        elif not self.attach(keys) and keys.exact is not None and (embedder := self._embedder.id) is not None:
            self.unembedded.add(Waiting(keys.exact, keys.scope, embedder))
        return True

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

    def purge(self, purge: Purge = Purge()) -> int:  # noqa: B008 - immutable
        """Forget entries; returns how many."""
        if self.keeper is not None:
            self.keeper.purged(purge)
        return self._store.purge(purge)

    def forget_all(self, model: str | None = None) -> None:
        """No entry of this model (or of any) answers from now on; at once, however many there are."""
        self.epochs.advance(model)

    def wrong(self, entry: bytes, tenant: str | None = None) -> bool:
        """Somebody (``None``: an operator) says that this entry answered wrongly; false if they have no such entry."""
        gone = self._store.wrong(entry, tenant)
        if gone is not None and self.keeper is not None:
            self.keeper.purged(Purge(entry=entry))
        if gone is not None and self.on_wrong is not None:
            self.on_wrong(gone, self._clock.time())
        return gone is not None

    def attach(self, keys: CacheKeys) -> bool:
        """Embed an entry's question, in the background; false where the embedder can't take it now."""
        if self._embedder is None:
            return False
        ticket = self._embedder.submit(keys.text, lambda _: self._attach(keys, ticket, None), background=True)
        return ticket is not None

    def advance(self, now: float) -> None:
        """Every tick: drop what has expired."""
        self._store.expire(now)
        if self.trials is not None:
            self.trials.advance(now)
        if self.unembedded and self._embedder is not None:
            self.unembedded.advance(self._embedder.id, self.attach)
        if self.keeper is not None:
            self.keeper.advance(now)

    def close(self) -> None:
        """The daemon ends."""
        if self.keeper is not None:
            self.keeper.close()

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        embedder = self._embedder.stats() if self._embedder is not None else None
        verdict = "learned" if self._learned() is not None else "simple"
        kept = self.keeper.stats() if self.keeper is not None else None
        bound = self.trials.stats() if self.trials is not None else None
        return {
            **self._store.stats(),
            "verdict": verdict,
            "under_way": len(self.running),
            "embedder": embedder,
            "file": kept,
            "bound": bound,
        }


def _tell_of(error: Exception) -> None:
    """By its kind alone: its words may hold those of a request."""
    log.warning("the verdict failed on a question, which has no near answer: %s", type(error).__name__)
