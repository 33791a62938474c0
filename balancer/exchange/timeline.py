"""When what happened in one exchange, in monotonic seconds: what is overdue, and what it comes to in the end."""

from __future__ import annotations

from dataclasses import dataclass

from balancer import errors
from balancer.cache.entry import Entry
from balancer.errors import Failure
from balancer.exchange.ports import Outcome
from balancer.exchange.state import State


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the parts of an exchange may take, in seconds."""

    first_token_s: float = 120.0
    between_tokens_s: float = 30.0
    queue_s: float = 30.0
    request_s: float = 600.0


@dataclass(slots=True)
class Timeline:
    """The moments of one exchange; 0 for those that have not come."""

    began_at: float
    ends_at: float
    """When the whole exchange must be over."""
    leased_at: float = 0.0
    first_at: float = 0.0
    heard_at: float = 0.0
    """The last sign of the backend."""

    def postpone(self, seconds: float) -> None:
        """Move all deadlines."""
        self.ends_at += seconds
        self.leased_at += seconds
        self.heard_at += seconds

    def deadline_passed(self) -> Failure:
        return errors.deadline_passed(self.ends_at - self.began_at)

    def backend_late(
        self, state: State, backend: str, limits: Limits, now: float, *, stream: bool = True
    ) -> Failure | None:
        """What the backend owes by now and has not given; a whole answer may take as long as the request may."""
        if state is State.ASKING and stream and now - self.leased_at >= limits.first_token_s:
            return errors.backend_timeout(backend, "first token", limits.first_token_s)
        if state is State.STREAMING and now - self.heard_at >= limits.between_tokens_s:
            return errors.backend_timeout(backend, "further token", limits.between_tokens_s)
        return None

    def answered(self, model: str, backend: str, cache: str, attempts: int, now: float) -> Outcome:
        """The outcome of an answer that a backend made."""
        return self._outcome(model, backend, cache, attempts, self.leased_at, self.first_at, now)

    def cached(self, model: str, entry: Entry, kind: str, similarity: float | None, now: float) -> Outcome:
        """The outcome of an answer that the cache gave."""
        age_s = now - entry.created
        return self._outcome(model, entry.backend, kind, 0, now, now, now, similarity, age_s, entry.id)

    def _outcome(
        self,
        model: str,
        backend: str,
        cache: str,
        attempts: int,
        leased_at: float,
        first_at: float,
        now: float,
        similarity: float | None = None,
        age_s: float | None = None,
        entry: str | None = None,
    ) -> Outcome:
        began = self.began_at
        return Outcome(
            model=model,
            backend=backend,
            cache=cache,
            attempts=attempts,
            queue_s=leased_at - began,
            ttft_s=first_at - began,
            total_s=now - began,
            similarity=similarity,
            age_s=age_s,
            entry=entry,
        )
