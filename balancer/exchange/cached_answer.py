"""How a cached answer is told: as if a backend had just made it."""

from __future__ import annotations

from balancer.cache.entry import Entry
from balancer.cache.store import Hit
from balancer.exchange.outcome import Opening, Outcome
from balancer.exchange.ports import Sink
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.dialect import Usage, usage_of
from balancer.wire.whole import whole_body


def tell(sink: Sink, hit: Hit, outcome: Outcome, request: Request, created: int) -> None:
    """All of the answer but its end; ``created`` in Unix seconds."""
    age_s, probability, entry = outcome.age_s, hit.probability, outcome.entry
    sink.opened(Opening(outcome.backend, hit.kind, 0, hit.similarity, age_s, 0, probability, entry))
    if request.stream:
        sink.events(entry_events(hit.entry, request, outcome.model, created))
    else:
        sink.whole(entry_body(hit.entry, request, outcome.model, created))


def entry_events(entry: Entry, request: Request, model: str, created: int) -> bytes:
    """The events of an ordinary stream."""
    endpoint, answer_id = request.endpoint, openai.answer_id(request.endpoint, request.id)
    text = openai.text_event(endpoint, answer_id, model, created, entry.text)
    return text + openai.final_events(endpoint, answer_id, model, created, entry.finish_reason, _usage(entry))


def entry_body(entry: Entry, request: Request, model: str, created: int) -> bytes:
    """An answer in one piece."""
    endpoint, answer_id = request.endpoint, openai.answer_id(request.endpoint, request.id)
    return whole_body(endpoint, answer_id, model, created, entry.text, entry.finish_reason, _usage(entry))


def _usage(entry: Entry) -> Usage | None:
    if entry.completion_tokens is None:
        return None
    return usage_of(entry.prompt_tokens or 0, entry.completion_tokens)
