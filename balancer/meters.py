"""What the requests came to, as counters and histograms: cheap to write on a request's way, read by a scrape.

Every label has a bounded set of values, whatever clients ask for: models are those that some backend offered, outcomes
are our own words, and what is neither counts as ``other``. Tenants are no label at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from balancer.errors import Failure
from balancer.exchange.outcome import Record
from balancer.histogram import Histogram

OTHER: Final = "other"
MODELS_MAX: Final = 256
BACKENDS_MAX: Final = 4096

OUTCOMES: Final = frozenset(
    {
        "completed", "cancelled", "backend_busy", "backend_failed", "backend_lost", "backend_timeout",
        "backend_unreachable", "client_too_slow", "context_length_exceeded", "deadline_passed", "invalid_api_key",
        "invalid_prompt", "invalid_request", "model_not_allowed", "model_not_found", "model_required", "no_backend",
        "no_means", "not_cached", "queue_full", "queue_timeout", "rejected", "shutting_down", "uploads_full",
        "wrong_endpoint",
        # What comes to no exchange:
        "bad_http", "body_too_large", "content_encoding", "duplicate_id", "empty_input", "empty_prompt",
        "head_too_large", "http_version", "input_too_long", "invalid_best_of", "invalid_cache", "invalid_deadline",
        "invalid_dimensions", "invalid_encoding_format", "invalid_explain", "invalid_fallback", "invalid_id",
        "invalid_input", "invalid_key", "invalid_max_completion_tokens", "invalid_max_tokens", "invalid_messages",
        "invalid_model", "invalid_n", "invalid_resume", "invalid_stream", "invalid_timeout", "invalid_wrong",
        "line_timeout", "line_too_long", "no_proxy", "not_json", "prompt_and_messages", "request_timeout",
        "target_too_long", "too_many_in_flight", "too_many_inputs", "too_many_messages", "too_many_objects",
        "transfer_coding", "unknown_message",
    }
)  # fmt: skip
"""How a request can end in our own words; engines have any others."""
_CUT_SHORT: Final = frozenset({"cancelled", "deadline_passed", "shutting_down"})
"""Ends that come from this side, whatever the backend was doing."""

# Not Final: compiled by mypyc, Final tuples of so many floats are read before they are set.
WAIT_BOUNDS_S: tuple[float, ...] = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
FIRST_TOKEN_BOUNDS_S: tuple[float, ...] = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip
DURATION_BOUNDS_S: tuple[float, ...] = (
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
LAG_BOUNDS_S: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class ModelMeter:
    """The counters of one model."""

    __slots__ = ("outcomes", "tokens_in", "tokens_out")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.tokens_in = 0
        self.tokens_out = 0


class AnswerMeter:
    """How long completed answers of one source took, in seconds."""

    __slots__ = ("duration", "first_token")

    def __init__(self) -> None:
        self.first_token = Histogram(FIRST_TOKEN_BOUNDS_S)
        self.duration = Histogram(DURATION_BOUNDS_S)


class Meters:
    """Counters since the start. ``offered`` tells whether a backend offers a model, ``in_pool`` whether there is a
    backend of that name.
    """

    def __init__(self, offered: Callable[[str], bool], in_pool: Callable[[str], bool]) -> None:
        self.models: dict[str, ModelMeter] = {}
        self.attempts: dict[str, Counter[str]] = {}
        """By backend, then: completed, cancelled (by this side), failed, busy."""
        self.answers = {"backend": AnswerMeter(), "cache": AnswerMeter()}
        self.queue_wait = Histogram(WAIT_BOUNDS_S)
        """Of requests that came to a backend."""
        self.loop_lag = Histogram(LAG_BOUNDS_S)
        self._offered = offered
        self._in_pool = in_pool
        self._by_backend = self.answers["backend"]
        self._by_cache = self.answers["cache"]
        self._next_tick_at: float | None = None

    def observe(self, record: Record) -> None:
        """A request has ended."""
        model = self.models.get(record.model) or self._model(record.model)
        outcome = record.outcome
        outcomes = model.outcomes
        if outcome in outcomes:
            outcomes[outcome] += 1
        else:
            self._first(outcomes, outcome)
        if record.prompt_tokens:
            model.tokens_in += record.prompt_tokens
        if record.completion_tokens:
            model.tokens_out += record.completion_tokens
        if record.attempts:
            self.queue_wait.observe(record.queue_s)
            answer = self._by_backend
            if outcome == "completed":
                self._attempts(record.backend)["completed"] += 1
            elif outcome in _CUT_SHORT and record.backend:
                self._attempts(record.backend)["cancelled"] += 1
        else:
            answer = self._by_cache
        if outcome == "completed":
            answer.duration.observe(record.total_s)
            if record.ttft_s is not None:
                answer.first_token.observe(record.ttft_s)

    def attempt_failed(self, backend: str, failure: Failure) -> None:
        """A backend did not answer; the request may still be answered by another one."""
        self._attempts(backend)["busy" if failure.busy else "failed"] += 1

    def ticked(self, now: float, interval_s: float) -> None:
        """The daemon's clock tick runs now (monotonic s), and was due ``interval_s`` after the one before."""
        if self._next_tick_at is not None:
            self.loop_lag.observe(max(now - self._next_tick_at, 0.0))
        self._next_tick_at = now + interval_s

    def _model(self, name: str) -> ModelMeter:
        """The counters of a model that has none of its own so far."""
        if len(self.models) >= MODELS_MAX or not self._offered(name):
            name = OTHER
        return self.models.setdefault(name, ModelMeter())

    @staticmethod
    def _first(outcomes: dict[str, int], outcome: str) -> None:
        name = outcome if outcome in OUTCOMES else OTHER
        outcomes[name] = outcomes.get(name, 0) + 1

    def _attempts(self, backend: str) -> Counter[str]:
        found = self.attempts.get(backend)
        if found is None:
            if len(self.attempts) >= BACKENDS_MAX:
                # Names come and go with the processes that bear them; only those that are gone may be forgotten.
                self.attempts = {name: counts for name, counts in self.attempts.items() if self._in_pool(name)}
            name = backend if len(self.attempts) < BACKENDS_MAX else OTHER
            found = self.attempts.setdefault(name, Counter())
        return found
