"""When what happened in one exchange, in monotonic seconds: what is overdue, and what it comes to in the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from balancer import errors
from balancer.cache.store import Hit
from balancer.errors import Failure
from balancer.exchange.outcome import Outcome
from balancer.exchange.state import State
from balancer.pool.backend import BackendSpec
from balancer.request import Request


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the parts of an exchange may take, in seconds."""

    first_token_s: float = 120.0
    between_tokens_s: float = 30.0
    queue_s: float = 30.0
    request_s: float = 600.0

    def of(self, request: Request) -> Limits:
        """Those of one request, which may have been given stricter ones."""
        if request.first_token_s is None and request.between_tokens_s is None:
            return self
        return replace(
            self,
            first_token_s=min(self.first_token_s, request.first_token_s or self.first_token_s),
            between_tokens_s=min(self.between_tokens_s, request.between_tokens_s or self.between_tokens_s),
        )


@dataclass(init=False, slots=True)
class Timeline:
    """The moments of one exchange; 0 for those that have not come."""

    began_at: float
    ends_at: float
    """When the whole exchange must be over."""
    leased_at: float
    first_at: float
    heard_at: float
    """The last sign of the backend."""
    asked_at: float
    """When the backend of now was asked; `leased_at` and `first_at` are those of the first that answered."""
    answered_at: float
    pieces: int
    """In how many its answer came so far."""
    client_slow: bool
    """The client could not follow, so that the backend's pace is not its own."""

    def __init__(self, began_at: float, ends_at: float) -> None:
        self.began_at = began_at
        self.ends_at = ends_at
        self.leased_at = self.first_at = self.heard_at = self.asked_at = self.answered_at = 0.0
        self.pieces = 0
        self.client_slow = False

    def asked(self, now: float) -> None:
        """A backend was asked."""
        self.asked_at = self.heard_at = now
        self.pieces = 0
        if not self.first_at:
            self.leased_at = now

    def read_again(self, now: float) -> None:
        """What the backend said meanwhile was not read, so whatever it owes it owes from now on."""
        self.heard_at = now
        if not self.pieces:
            self.asked_at = now

    def answers(self, now: float) -> None:
        """Its first piece came."""
        self.answered_at = now
        if not self.first_at:
            self.first_at = now

    def postpone(self, seconds: float) -> None:
        """Move all deadlines."""
        self.ends_at += seconds
        self.leased_at += seconds
        self.asked_at += seconds
        self.heard_at += seconds

    def pace(self) -> tuple[float | None, float | None]:
        """Seconds to this backend's first token and between two; ``None`` where that cannot be known."""
        if self.pieces < 2:
            return None, None  # all in one piece: the first token's time is not to be seen
        itl_s = (self.heard_at - self.answered_at) / (self.pieces - 1)
        return self.answered_at - self.asked_at, None if self.client_slow else itl_s

    def so_far(self, now: float) -> tuple[float, float | None, float]:
        """Seconds from the arrival to a slot (or now), to the first token if there was one, and to now."""
        began = self.began_at
        return (self.leased_at or now) - began, self.first_at - began if self.first_at else None, now - began

    def deadline_passed(self) -> Failure:
        return errors.deadline_passed(self.ends_at - self.began_at)

    def backend_late(self, state: State, backend: str, limits: Limits, request: Request, now: float) -> Failure | None:
        """What the backend owes by now and has not given; a whole answer may take as long as the request may, unless
        the client said otherwise."""
        own = limits.of(request)
        bound = request.stream or request.first_token_s is not None
        if state is State.ASKING and bound and (waited_s := now - self.asked_at) >= own.first_token_s:
            impatient = waited_s < limits.first_token_s
            return errors.backend_timeout(backend, "first token", own.first_token_s, own=impatient)
        if state is State.STREAMING and (waited_s := now - self.heard_at) >= own.between_tokens_s:
            impatient = waited_s < limits.between_tokens_s
            return errors.backend_timeout(backend, "further token", own.between_tokens_s, own=impatient)
        return None

    def silent(self, state: State, backend: str, limits: Limits, now: float) -> Failure | None:
        """What is held against a backend that gave nothing until the request's time was over."""
        if state is not State.ASKING or now - self.asked_at < limits.first_token_s:
            return None
        return errors.backend_timeout(backend, "answer", now - self.asked_at)

    def answered(self, spec: BackendSpec, model: str, cache: str, attempts: int, resumed: int, now: float) -> Outcome:
        """The outcome of an answer to a request for `model` that this backend made, or ended."""
        began = self.began_at
        return Outcome(
            spec.serves(model),
            spec.name,
            cache,
            attempts,
            self.leased_at - began,
            self.first_at - began,
            now - began,
            resumed=resumed,
        )

    def cached(self, model: str, hit: Hit, now: float) -> Outcome:
        """The outcome of an answer that the cache gave."""
        entry, taken_s = hit.entry, now - self.began_at
        return Outcome(
            model,
            entry.backend,
            hit.kind,
            0,
            taken_s,
            taken_s,
            taken_s,
            hit.similarity,
            now - entry.created,
            entry.id,
            probability=hit.probability,
        )

    def shared(self, outcome: Outcome, cache: str, now: float) -> Outcome:
        """The outcome for one who shared the answer that came to ``outcome`` for another."""
        began, first_at = self.began_at, self.first_at or now
        waited_s = first_at - began
        return Outcome(
            outcome.model, outcome.backend, cache, 0, waited_s, waited_s, now - began, resumed=outcome.resumed
        )
