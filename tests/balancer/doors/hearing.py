"""An HTTP client whose request has come to a backend, and what it hears of the answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from balancer import errors
from balancer.wire.openai import chunk_text, parse_chunk
from tests.balancer.doors.caller import Reply
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.fakes import FakeCall

FACTS = ("x-balancer-backend", "x-balancer-cache", "x-balancer-attempts")
WITH_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
GONE = errors.backend_failed("a", "connection reset")


@contextlib.asynccontextmanager
async def asking(sent: bytes, *backends: str, **changes: Any) -> AsyncIterator[tuple[Lobby, Visitor, FakeCall]]:
    """A client whose request has come to a backend."""
    async with Lobby(**changes).open() as lobby:
        for name in backends or ("a",):
            lobby.hall.join(name)
        visitor = await lobby.visit(sent)
        await lobby.calls(1)
        yield lobby, visitor, lobby.hall.calls[0]


def facts(found: Reply) -> tuple[str | None, ...]:
    return tuple(found.headers.get(name) for name in FACTS)


def text_of(found: Reply) -> str:
    chunks = [parse_chunk(data) for data in found.events if data != b"[DONE]"]
    return "".join(chunk_text(choice) for chunk in chunks for choice in chunk.choices)
