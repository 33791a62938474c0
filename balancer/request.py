"""One request, as all rooms see it: made once by a door, frozen, read by cache, admission, routing and upstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """``body`` is the request in the OpenAI dialect, without what concerns only the balancer."""

    id: str
    """Names the request in logs and in the ids of answers we write ourselves."""
    tenant: str
    """Whose request it is; caches and limits never cross it."""
    endpoint: str
    """``chat`` or ``completions``: the form of ``body``, and of the events that answer it."""
    body: dict[str, Any]
    prompt_bytes: int
    """Size of what the backend must read, in bytes."""
    model: str | None = None
    """As named by the client; ``None`` takes the default."""
    stream: bool = True
    """The client takes the answer in pieces; else it is relayed in one."""
    raw: bytes = b""
    """``body`` as it came, where it came as a body of its own: it can go on untouched."""
    cache: str = "default"
    """default | bypass | only | refresh"""
    deadline_s: float | None = None
    """The client's own limit on the whole exchange; ``None`` takes the configured one."""
