"""What is special about one request: the models that may answer it, and what its client is told of the choice.

Few requests have a course: those whose model's name the operator has made a rule for, and those that wish for
something; and all where the operator wants them hedged. All others go the common way and know nothing of this.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from balancer.admission.aliases import ModelRules
from balancer.admission.fallback import Chain, chain_of
from balancer.errors import Failure
from balancer.exchange.first_tokens import FirstTokens
from balancer.exchange.outcome import Opening
from balancer.exchange.ports import Sink
from balancer.request import Request, Wishes
from balancer.rng import Rng
from balancer.routing.need import session_of

_NO_WISHES = Wishes()


class Course:
    """Of one request."""

    __slots__ = ("chain", "explains", "explanation", "first_failure", "first_tokens", "model", "tells_model")

    def __init__(
        self, chain: Chain, *, explains: bool, tells_model: bool, first_tokens: FirstTokens | None = None
    ) -> None:
        self.chain = chain
        self.explains = explains
        self.tells_model = tells_model
        self.first_tokens = first_tokens
        """How late is late; ``None``: it is not hedged."""
        self.model = ""
        """The one that was asked last."""
        self.explanation = ""
        """Of the last choice, as ASCII JSON."""
        self.first_failure: Failure | None = None
        """Why the first model could not answer."""

    @property
    def is_plain(self) -> bool:
        """One model answers, and no more is told than which."""
        return not (self.explains or self.chain.rest or self.first_tokens is not None)

    def first_offered(self, offered: Collection[str]) -> str | None:
        """Pass the turn on to the next model that is offered; ``None``: there is none."""
        while (model := self.chain.next()) is not None:
            if model in offered:
                return model
        return None

    def told(self, opening: Opening) -> Opening:
        """With what this client may know besides."""
        return replace(opening, model=self.model if self.tells_model else "", explanation=self.explanation)


def course_of(
    request: Request,
    rules: ModelRules | None,
    default_model: str | None,
    rng: Rng,
    first_tokens: FirstTokens | None = None,
) -> Course | Failure | None:
    """The course of this request; ``None``: it has none. ``first_tokens``: every one is hedged, by these."""
    wishes, named = request.wishes or _NO_WISHES, request.model or default_model
    ruled = rules is not None and named in rules.by_name
    if wishes is _NO_WISHES and not ruled and first_tokens is None:
        return None
    chain = chain_of(
        rules,
        named,
        arm=wishes.model,
        fallback=wishes.fallback,
        tenant=request.tenant,
        session=session_of(request.body),
        rng=rng,
    )
    if isinstance(chain, Failure):
        return chain
    tells_model = ruled or wishes.model is not None
    return Course(chain, explains=wishes.explain, tells_model=tells_model, first_tokens=first_tokens)


class ToldSink:
    """Stands before a sink, and adds what the course knows to who answers."""

    __slots__ = ("_course", "_sink", "done", "events", "failed", "queued", "whole")

    def __init__(self, sink: Sink, course: Course) -> None:
        self._sink = sink
        self._course = course
        # The sink's own: nothing of a token's way passes through here.
        self.queued = sink.queued
        self.events = sink.events
        self.whole = sink.whole
        self.done = sink.done
        self.failed = sink.failed

    def opened(self, opening: Opening) -> None:
        self._sink.opened(self._course.told(opening))

    def resumed(self, opening: Opening) -> None:
        self._sink.resumed(self._course.told(opening))
