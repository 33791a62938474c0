"""What became of an exchange, for those who keep count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer.errors import Failure
from balancer.exchange.ports import Outcome, Record

if TYPE_CHECKING:
    from balancer.exchange.exchange import Exchange

CLIENT_LEFT = 499
"""As nginx writes it into its log."""


def record_of(exchange: Exchange, outcome: Outcome | None, failure: Failure | None, now: float) -> Record:
    """Of an exchange that has ended: with an ``outcome``, a ``failure``, or neither where the client left."""
    request, usage = exchange.request, exchange.journal.usage() or (None, None)
    attempts, resumed = exchange.attempts, exchange.resumed
    if outcome is not None:
        model, backend, cache = outcome.model, outcome.backend, outcome.cache
        queue_s, ttft_s, total_s = outcome.queue_s, outcome.ttft_s, outcome.total_s
        done = "completed"
        return Record(request, model, backend, done, 200, cache, attempts, resumed, queue_s, ttft_s, total_s, *usage)
    code, status = ("cancelled", CLIENT_LEFT) if failure is None else (failure.code, failure.status)
    return Record(
        request,
        exchange.model,
        exchange.backend,
        code,
        status,
        exchange.cache_part,
        attempts,
        resumed,
        *exchange.times.so_far(now),
        *usage,
    )
