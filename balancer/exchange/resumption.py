"""An answer whose backend broke, on its way to being continued by another one."""

from __future__ import annotations

from dataclasses import replace

from balancer.errors import Failure
from balancer.exchange.journal import Journal
from balancer.pool.backend import BackendSpec
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.continuation import Begun, Seam, can_continue, continued, is_token_ids, limited, tokens_left
from balancer.wire.dialect import Usage, usage_of
from balancer.wire.openai import lone_prompt
from balancer.wire.whole import as_endpoint


class Resumption:
    """What was said, what is still to be asked, and the seam between the two."""

    __slots__ = ("_asked_as", "_begun", "_finished", "_seam", "_usage", "broken_by", "request")

    def __init__(
        self, request: Request, begun: Begun, broken_by: Failure, *, finished: bool, usage: Usage | None = None
    ) -> None:
        """``usage``: of all that was said, as far as it is known and was not told."""
        self.request = request
        """With the limit that held for the answer so far."""
        self._begun = begun
        self._finished = finished
        self._usage = usage
        self._asked_as = request.endpoint
        self._seam = Seam(begun, summed=False)
        self.broken_by = broken_by
        """What the client is told if nobody goes on."""

    @property
    def bound(self) -> bool:
        """Something was said, so only those may be asked who can go on with it."""
        return bool(self._begun.text)

    def rest(self) -> bytes | None:
        """The events that end the answer, where nothing but them is missing; ``None``: a backend must go on."""
        begun, request = self._begun, self.request
        if not self._finished and tokens_left(request.body, begun):
            return None
        reason = None if self._finished else "length"
        return openai.final_events(request.endpoint, begun.id, begun.model, begun.created, reason, self._usage)

    def request_for(self, spec: BackendSpec) -> Request | None:
        """The request for the rest, as this backend takes it; ``None`` where it cannot give it."""
        request, begun = self.request, self._begun
        try:
            endpoint, body = continued(request.body, request.endpoint, spec.abilities, spec.endpoints, begun)
        except ValueError:
            return None
        self._asked_as = endpoint
        self._seam = Seam(begun, summed="continue_from" in body)
        return replace(request, endpoint=endpoint, body=body, raw=b"")

    def rewrite(self, events: bytes) -> bytes:
        """Events of the backend that goes on, as those of the answer it goes on with. Raises `ValueError`."""
        if self._asked_as != self.request.endpoint:
            events = as_endpoint(events, self.request.endpoint, self._begun.id, {0})
        return self._seam.rewrite(events)


def resumption_of(
    request: Request, journal: Journal, failure: Failure, spec: BackendSpec, before: Resumption | None = None
) -> Resumption | None:
    """What another backend needs to go on; ``None`` where the request, the answer or the failure forbids it.

    ``spec``: who broke; ``before``: what it had gone on with itself.
    """
    if not failure.retryable or not (request.stream and request.resumable):
        return None
    counted = journal.counted()
    begun = journal.begun()
    finished = journal.finish_reason is not None
    if begun is None or not (finished or not begun.text or _can_go_on(request, begun)):
        return None
    if before is not None:
        request = before.request
    else:
        body = limited(request.body, request.endpoint, spec.abilities, spec.endpoints, begun)
        request = replace(request, body=body)
    usage = usage_of(*counted) if counted is not None and not journal.usage_told else None
    return Resumption(request, begun, failure, finished=finished, usage=usage)


def _can_go_on(request: Request, begun: Begun) -> bool:
    if not can_continue(request.body, request.endpoint):
        return False
    return begun.token_ids is not None or not is_token_ids(lone_prompt(request.body.get("prompt")))
