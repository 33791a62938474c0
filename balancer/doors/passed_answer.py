"""The sink of an HTTP client whose answer passes through unread: embeddings, and responses with events of their own."""

from __future__ import annotations

from collections.abc import Callable

from balancer.doors.http import HttpConnection
from balancer.doors.openai_answer import OpenAIAnswer
from balancer.errors import Failure
from balancer.exchange.ports import Clock
from balancer.request import Request
from balancer.wire import responses


class PassedAnswer(OpenAIAnswer):
    """See `OpenAIAnswer`; nothing of the answer is read but, if it breaks, the number of its last event."""

    __slots__ = ("_last",)

    def __init__(
        self, connection: HttpConnection, request: Request, clock: Clock, unix_time: Callable[[], int]
    ) -> None:
        super().__init__(connection, request, clock, unix_time, usage_wanted=True)
        self._last = b""

    def events(self, events: bytes) -> None:
        self._last = events
        super().events(events)

    def _check(self, events: bytes) -> None:
        """They are the engine's own."""

    def _error_event(self, failure: Failure) -> bytes:
        return responses.error_event(failure.message, failure.type, failure.code, self._last)
