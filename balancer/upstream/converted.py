"""Answers of an engine that offers only the other endpoint, put into the form that was asked for."""

from __future__ import annotations

from balancer.errors import Failure
from balancer.exchange.ports import Receiver
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.whole import as_endpoint, parse_whole, whole_body


class Converted:
    """Stands before a receiver: chat becomes completions, completions become chat."""

    def __init__(self, receiver: Receiver, request: Request) -> None:
        self._receiver = receiver
        self._request = request

    def on_events(self, events: bytes) -> None:
        try:
            events = as_endpoint(events, self._request.endpoint, 0)
        except ValueError:
            pass  # whoever reads them next says what is wrong
        if events:
            self._receiver.on_events(events)

    def on_whole(self, body: bytes) -> None:
        endpoint = self._request.endpoint
        try:
            whole = parse_whole(body)
        except ValueError:
            self._receiver.on_whole(body)
            return
        answer_id = openai.answer_id(endpoint, self._request.id)
        body = whole_body(endpoint, answer_id, whole.model, 0, whole.text, whole.finish_reason, whole.usage)
        self._receiver.on_whole(body)

    def on_end(self) -> None:
        self._receiver.on_end()

    def on_failure(self, failure: Failure) -> None:
        self._receiver.on_failure(failure)
