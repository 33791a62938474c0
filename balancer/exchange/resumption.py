"""An answer whose backend broke, on its way to being continued by another one."""

from __future__ import annotations

from dataclasses import replace

from balancer.errors import Failure
from balancer.exchange.journal import Journal
from balancer.pool.backend import BackendSpec
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.continuation import Begun, Seam, can_continue, continued, tokens_left
from balancer.wire.sse import DONE
from balancer.wire.whole import as_endpoint


class Resumption:
    """What was said, what is still to be asked, and the seam between the two."""

    __slots__ = ("_asked_as", "_begun", "_finished", "_request", "_seam", "broken_by")

    def __init__(self, request: Request, begun: Begun, broken_by: Failure, *, finished: bool) -> None:
        self._request = request
        self._begun = begun
        self._finished = finished
        self._asked_as = request.endpoint
        self._seam = Seam(begun, summed=False)
        self.broken_by = broken_by
        """What the client is told if nobody goes on."""

    def rest(self) -> bytes | None:
        """The events that end the answer, where nothing but them is missing; ``None``: a backend must go on."""
        begun, request = self._begun, self._request
        if self._finished:
            return DONE
        if tokens_left(request.body, begun):
            return None
        usage = None  # nobody told it
        return openai.final_events(request.endpoint, begun.id, begun.model, begun.created, "length", usage)

    def request_for(self, spec: BackendSpec) -> Request:
        """The request for the rest, as this backend takes it."""
        request, begun = self._request, self._begun
        endpoint, body = continued(request.body, request.endpoint, spec.abilities, spec.endpoints, begun)
        self._asked_as = endpoint
        self._seam = Seam(begun, summed="continue_from" in body)
        return replace(request, endpoint=endpoint, body=body, raw=b"")

    def rewrite(self, events: bytes) -> bytes:
        """Events of the backend that goes on, as those of the answer it goes on with. Raises `ValueError`."""
        if self._asked_as != self._request.endpoint:
            events = as_endpoint(events, self._request.endpoint, self._begun.id, {0})
        return self._seam.rewrite(events)


def resumption_of(request: Request, journal: Journal, failure: Failure) -> Resumption | None:
    """What another backend needs to go on; ``None`` where the request, the answer or the failure forbids it."""
    if not failure.retryable or not (request.stream and request.resumable):
        return None
    if not can_continue(request.body, request.endpoint):
        return None
    begun = journal.begun()
    return Resumption(request, begun, failure, finished=journal.finish_reason is not None) if begun else None
