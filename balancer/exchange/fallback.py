"""An exchange with a course: it falls back on other models, and explains itself. See ``course`` for who has one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from balancer.admission.fallback import may_fall_back
from balancer.errors import Failure
from balancer.exchange.course import Course, ToldSink
from balancer.exchange.exchange import Exchange
from balancer.exchange.ports import Sink
from balancer.exchange.state import Event, State, step
from balancer.exchange.turn import Owner, Turn
from balancer.pool.ledger import Lease
from balancer.request import Request
from balancer.routing.explain import explain
from balancer.routing.select import NoBackend, NoSlot

if TYPE_CHECKING:
    from balancer.exchange.dispatcher import Dispatcher


class FallbackExchange(Exchange):
    """See the module. Made by `Dispatcher.begin` only."""

    __slots__ = ("_course",)

    def __init__(
        self,
        dispatcher: Dispatcher,
        request: Request,
        model: str,
        sink: Sink,
        now: float,
        ends_at: float,
        course: Course,
    ) -> None:
        super().__init__(dispatcher, request, model, ToldSink(sink, course), now, ends_at)
        self._course = course
        course.model = model

    def _missed(self) -> None:
        if not self._course.explains or self.request.cache == "only":
            super()._missed()
            return
        if self._lookup is not None and self._lookup.shadow:
            self.cache_part = "shadow"
        self._turn = self._new_turn()
        self._turn.take(self.times.ends_at)

    def _new_turn(self) -> Turn:
        if self._course.explains:
            return ExplainedTurn(self._dispatcher, self.request, self.model, self, self._course)
        return Turn(self._dispatcher, self.request, self.model, self)

    def leased(self, lease: Lease) -> None:
        self._course.model = lease.spec.serves(self.model)
        super().leased(lease)

    def fail(self, failure: Failure) -> None:
        """End it with an error, if it has not ended and no other model is left."""
        course = self._course
        if not self.state.live:
            return
        if self.state is State.STREAMING or self._resumption is not None or not may_fall_back(failure):
            super().fail(self._explained(failure))
            return
        first = course.first_failure = course.first_failure or failure
        model = course.chain.next()
        if model is None:
            super().fail(self._explained(first))  # it is about what was asked for
        else:
            self._fall_back(model, failure)

    def _explained(self, failure: Failure) -> Failure:
        """With the last choice that there was, or why there was none."""
        course, turn = self._course, self._turn
        if not course.explains or turn is None:
            return failure
        told = course.explanation
        if not told:
            dispatcher, registry = self._dispatcher, self._dispatcher.registry
            need = turn.need(turn.excluded)
            told = explain(dispatcher.router, registry.view, registry.ledger, need, dispatcher.clock.time()).header()
        return replace(failure, explanation=told)

    def _fall_back(self, model: str, failure: Failure) -> None:
        dispatcher, old, lease = self._dispatcher, self._turn, self._lease
        dispatcher.counts["fallbacks"] += 1
        self.model = self._course.model = model
        self.state = step(self.state, Event.FALL_BACK)
        self._call = self._lease = None
        self._turn = turn = self._new_turn()
        if old is not None:
            old.give_up()
            turn.excluded = old.excluded
        if lease is not None and turn.others(lease):
            turn.exclude(lease.spec.process, failure, resume=False)
        else:
            turn.excluded = frozenset()  # who failed with one model may do with another, if nobody else is left
        # Who had a slot has waited for it: it waits no second time behind those who came later.
        turn.take(self.times.ends_at, again=lease is not None)
        if lease is not None:
            dispatcher.let_go(lease)


class ExplainedTurn(Turn):
    """Notes why it got the lease that it got."""

    __slots__ = ("_course",)

    def __init__(self, dispatcher: Dispatcher, request: Request, model: str, owner: Owner, course: Course) -> None:
        super().__init__(dispatcher, request, model, owner)
        self._course = course

    def _route(self) -> Lease | NoSlot | NoBackend:
        dispatcher, need = self._dispatcher, self.need(self.excluded)
        registry, now = dispatcher.registry, dispatcher.clock.time()
        # First: a lease changes the numbers.
        explanation = explain(dispatcher.router, registry.view, registry.ledger, need, now, if_any=True)
        found = dispatcher.route(need)
        if isinstance(found, Lease):
            explanation.choice = found.spec.name
            self._course.explanation = explanation.header()
        return found
