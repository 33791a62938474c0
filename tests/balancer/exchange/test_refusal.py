from __future__ import annotations

import pytest

from balancer.exchange.refusal import nobody
from balancer.routing.select import NoBackendReason


@pytest.mark.parametrize(
    ("reason", "code", "status", "retry_after_s"),
    [
        (NoBackendReason.WRONG_ENDPOINT, "wrong_endpoint", 400, None),
        (NoBackendReason.PROMPT_TOO_LONG, "context_length_exceeded", 400, None),
        (NoBackendReason.UNAVAILABLE, "no_backend", 503, 2.5),
        (NoBackendReason.EMPTY_POOL, "no_backend", 503, 2.5),
        (NoBackendReason.EXCLUDED, "no_backend", 503, 2.5),
    ],
)
def test_only_what_time_can_change_is_worth_another_try(
    reason: NoBackendReason, code: str, status: int, retry_after_s: float | None
) -> None:
    failure = nobody(reason, "m", "chat", 2.5)
    assert (failure.code, failure.status, failure.retry_after_s) == (code, status, retry_after_s)
    assert "'m'" in failure.message
