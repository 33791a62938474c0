"""Records of requests that ended, for those who keep count."""

from __future__ import annotations

from typing import Any

from balancer.exchange.outcome import Record
from balancer.request import Request


def a_record(**changes: Any) -> Record:
    """A completed answer of backend a, unless told otherwise; ``id`` and ``tenant`` are the request's."""
    names = {
        "id": "0" * 24,
        "tenant": "local",
        **{name: changes.pop(name) for name in ("id", "tenant") & changes.keys()},
    }
    fields: dict[str, Any] = {
        "request": Request(endpoint="chat", body={}, prompt_bytes=5, **names),
        "model": "m",
        "backend": "a",
        "outcome": "completed",
        "status": 200,
        "cache": "miss",
        "attempts": 1,
        "resumed": 0,
        "queue_s": 0.002,
        "ttft_s": 0.050,
        "total_s": 1.2344,
        "prompt_tokens": 17,
        "completion_tokens": 42,
    }
    return Record(**{**fields, **changes})


def refused(model: str, code: str = "model_not_found") -> Record:
    """One that came to no backend."""
    return a_record(
        model=model, backend="", outcome=code, status=404, cache="", attempts=0, queue_s=0.0, ttft_s=None, total_s=0.0,
        prompt_tokens=None, completion_tokens=None,
    )  # fmt: skip
