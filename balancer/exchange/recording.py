"""What became of an exchange, for those who keep count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer.errors import Failure
from balancer.exchange.outcome import Outcome, Record
from balancer.request import Request

if TYPE_CHECKING:
    from balancer.exchange.exchange import Exchange

CLIENT_LEFT = 499
"""As nginx writes it into its log."""


def record_of(exchange: Exchange, outcome: Outcome | None, failure: Failure | None, now: float) -> Record:
    """Of an exchange that has ended: with an ``outcome``, a ``failure``, or neither where the client left."""
    usage = exchange.journal.usage()
    tokens_in, tokens_out = (None, None) if usage is None else usage
    ttft_s: float | None
    if outcome is not None:
        model, backend, cache, done, status = outcome.model, outcome.backend, outcome.cache, "completed", 200
        queue_s, ttft_s, total_s = outcome.queue_s, outcome.ttft_s, outcome.total_s
    else:
        model, backend, cache = exchange.model, exchange.backend, exchange.cache_part
        done, status = ("cancelled", CLIENT_LEFT) if failure is None else (failure.code, failure.status)
        queue_s, ttft_s, total_s = exchange.times.so_far(now)
    return Record(
        request=exchange.request,
        model=model,
        backend=backend,
        outcome=done,
        status=status,
        cache=cache,
        attempts=exchange.attempts,
        resumed=exchange.resumed,
        queue_s=queue_s,
        ttft_s=ttft_s,
        total_s=total_s,
        prompt_tokens=tokens_in,
        completion_tokens=tokens_out,
    )


def record_of_refusal(request: Request, failure: Failure) -> Record:
    """Of a request that no exchange was begun for."""
    return Record(
        request=request,
        model=request.model or "",
        backend="",
        outcome=failure.code,
        status=failure.status,
        cache="",
        attempts=0,
        resumed=0,
        queue_s=0.0,
        ttft_s=None,
        total_s=0.0,
        prompt_tokens=None,
        completion_tokens=None,
    )
