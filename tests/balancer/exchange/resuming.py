"""Backends that break in mid-answer."""

from __future__ import annotations

from typing import Any

from balancer import errors
from balancer.wire.dialect import Chunk
from balancer.wire.openai import parse_chunk
from balancer.wire.sse import event_data
from tests.fakes import Hall, RecordingSink

BROKEN = errors.backend_failed("x", "connection reset")


def hall_of(*names: str, **changes: Any) -> Hall:
    hall = Hall(**changes)
    for name in names:
        hall.join(name, slots=2)
    return hall


def chunks_of(sink: RecordingSink) -> list[Chunk]:
    return [parse_chunk(data) for data in event_data(sink.raw) if data != b"[DONE]"]
