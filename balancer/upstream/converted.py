"""Answers of an engine that offers only the other endpoint, put into the form that was asked for."""

from __future__ import annotations

from balancer.errors import Failure
from balancer.exchange.ports import Receiver
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.whole import as_endpoint, parse_whole, whole_as


class Converted:
    """Stands before a receiver: chat becomes completions, completions become chat."""

    def __init__(self, receiver: Receiver, request: Request) -> None:
        self._receiver = receiver
        self._endpoint = request.endpoint
        self._id = openai.answer_id(request.endpoint, request.id)
        self._begun: set[int] = set()

    def on_events(self, events: bytes) -> None:
        try:
            events = as_endpoint(events, self._endpoint, self._id, self._begun)
        except (ValueError, RecursionError):
            pass  # whoever reads them next says what is wrong
        if events:
            self._receiver.on_events(events)

    def on_whole(self, body: bytes) -> None:
        try:
            body = whole_as(parse_whole(body), self._endpoint, self._id)
        except ValueError:
            pass
        self._receiver.on_whole(body)

    def on_end(self) -> None:
        self._receiver.on_end()

    def on_failure(self, failure: Failure) -> None:
        self._receiver.on_failure(failure)
