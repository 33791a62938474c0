"""The messages of the native protocol, as `balancer.wire.native` reads and writes them."""

from __future__ import annotations

from typing import Any

import msgspec

from balancer.wire.dialect import Usage
from balancer.wire.errors import RemoteProtocolError

RequestId = int | str | None
"""``None`` where the client gave none: that connection's requests then run one by one."""


class Ask(msgspec.Struct, frozen=True):
    """One request. ``body`` holds what the backend shall get: ``prompt`` or ``messages`` and any OpenAI field."""

    id: RequestId
    body: dict[str, Any]
    key: str | None = None
    cache: str = "default"
    deadline_s: float | None = None
    first_token_s: float | None = None
    between_tokens_s: float | None = None
    resume: bool = True
    """Another backend may go on with the answer."""
    fallback: bool = True
    """Another model may answer."""
    explain: bool = False
    """Tell why this backend."""


class Cancel(msgspec.Struct, frozen=True):
    """Stop the request with this id."""

    id: RequestId


class Wrong(msgspec.Struct, frozen=True):
    """The cache entry with this name (`Done.entry`) answered wrongly."""

    entry: str
    key: str | None = None


class Control(msgspec.Struct, frozen=True):
    """A line of a backend's agent: `balancer.wire.control` knows its fields."""

    kind: str
    fields: Any
    line: bytes


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a complete answer came about. Times in milliseconds, age in seconds."""

    finish_reason: str | None
    model: str
    backend: str
    cache: str
    attempts: int
    resumed: int
    queue_ms: float
    ttft_ms: float
    total_ms: float
    usage: Usage | None = None
    similarity: float | None = None
    probability: float | None = None
    age_s: float | None = None
    entry: str | None = None
    """The cache entry that answered."""
    explain: msgspec.Raw | None = None
    """Why this backend, where that was asked."""


class Reply(msgspec.Struct, frozen=True):
    """A line from the balancer, as a client reads it: one of the fields beside ``id`` is set.

    No field is set in a message of a kind that this reader doesn't know; a client passes over it.
    """

    id: int | str | None = None
    text: str | None = None
    chunk: msgspec.Raw = msgspec.Raw(b"")
    """Its JSON; empty where there is none."""
    queued: dict[str, Any] | None = None
    resumed: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class BadLine(RemoteProtocolError):
    """A line that can't be served. ``id`` is set where the line had one, so that the answer can carry it."""

    def __init__(self, code: str, message: str, *, id: RequestId = None) -> None:
        super().__init__(code, message)
        self.id = id
