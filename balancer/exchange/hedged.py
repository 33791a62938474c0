"""A hedged exchange: when the first token is later than 95 of 100, a second backend is asked, too.

Whoever says something first answers, and the other one is cancelled, which blames nobody. The second attempt is within
the budget for retries; none is made while requests wait for a slot, and never where nothing tells of a first token
(answers in one piece, classic backends) or where asking twice may do something twice (``responses`` are kept).

Source: hedged requests in Dean and Barroso, The Tail at Scale (2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import Failure
from balancer.exchange.course import Course
from balancer.exchange.exchange import Exchange
from balancer.exchange.fallback import FallbackExchange
from balancer.exchange.first_tokens import FirstTokens
from balancer.exchange.ports import Call, Sink
from balancer.exchange.state import State
from balancer.pool.ledger import Lease
from balancer.request import Request
from balancer.wire.sse import event_data

if TYPE_CHECKING:
    from balancer.exchange.dispatcher import Dispatcher


class Hedged(FallbackExchange):
    """See the module. Made by `Dispatcher.begin` only."""

    __slots__ = ("_after_s", "_first_tokens", "_rival")

    def __init__(
        self,
        dispatcher: Dispatcher,
        request: Request,
        model: str,
        sink: Sink,
        now: float,
        ends_at: float,
        course: Course,
        first_tokens: FirstTokens,
    ) -> None:
        super().__init__(dispatcher, request, model, sink, now, ends_at, course)
        self._first_tokens = first_tokens
        self._after_s: float | None = None
        """Seconds after which a second backend is asked; ``None``: none is."""
        self._rival: Rival | None = None

    def leased(self, lease: Lease) -> None:
        super().leased(lease)
        request = self.request
        may = request.stream and request.endpoint in ("chat", "completions") and self._resumption is None
        late_s = self._first_tokens.late_after_s(self.model) if may and lease.spec.kind != "classic" else None
        self._after_s = late_s

    def check(self, now: float) -> None:
        super().check(now)
        after_s = self._after_s
        if after_s is not None and self.state is State.ASKING and now - self.times.asked_at >= after_s:
            self._after_s = None  # once for each that is asked
            self._hedge(now)

    def _hedge(self, now: float) -> None:
        dispatcher, turn, lease = self._dispatcher, self._turn, self._lease
        assert turn is not None and lease is not None
        if self._rival is not None or len(dispatcher.queue):
            return  # a free slot is for those who wait
        found = dispatcher.route(turn.need(turn.excluded | {lease.spec.process}))
        if not isinstance(found, Lease):
            return
        spec = found.spec
        if spec.kind == "classic" or not dispatcher.budget.spend(dispatcher.active):
            dispatcher.counts["hedges_refused"] += 1
            dispatcher.let_go(found)
            return
        dispatcher.counts["hedges"] += 1
        self.attempts += 1
        self._rival = rival = Rival(self, found, now)
        rival.call = dispatcher.upstreams[spec.kind].ask(spec, self.request, spec.serves(self.model), rival)

    # --- who is first

    def _first_events(self, events: bytes, now: float) -> None:
        super()._first_events(events, now)
        if self.state is State.STREAMING:
            if not self.resumed:
                self._first_tokens.learn(self.model, now - self.times.asked_at)
            self._drop_rival()

    def rival_speaks(self, rival: Rival, events: bytes) -> None:
        """Something came of the second before anything came of the first."""
        if next(event_data(events), None) is None:
            return  # a comment: it lives, but there is nothing of an answer yet
        dispatcher, call, lease = self._dispatcher, self._call, self._lease
        dispatcher.counts["hedges_won"] += 1
        self._first_tokens.learn(self.model, dispatcher.clock.time() - self.times.asked_at)
        self._take_over(rival)
        if call is not None:
            call.cancel()
        self.on_events(events)
        if lease is not None:
            dispatcher.let_go(lease)

    def _take_over(self, rival: Rival) -> None:
        """The second is the one that is asked now."""
        lease, call = rival.lease, rival.call
        rival.won = True
        rival.call = self._rival = None
        self._lease, self._call = lease, call
        self.backend = lease.spec.name
        self._course.model = lease.spec.serves(self.model)
        self.times.asked(rival.asked_at)
        if self._paused and call is not None:
            call.pause()

    # --- when one of them fails

    def on_failure(self, failure: Failure) -> None:
        """The first: the second is its retry, if it is under way."""
        rival, lease, turn = self._rival, self._lease, self._turn
        if rival is None or lease is None or turn is None or self.state is not State.ASKING:
            super().on_failure(failure)
            return
        self._call = None
        self._failed(lease, failure)
        self._take_over(rival)
        self._dispatcher.let_go(lease)

    def rival_failed(self, rival: Rival, failure: Failure) -> None:
        """The first goes on alone."""
        rival.call = self._rival = None
        self._failed(rival.lease, failure)
        self._dispatcher.let_go(rival.lease)

    def _failed(self, lease: Lease, failure: Failure) -> None:
        dispatcher, turn = self._dispatcher, self._turn
        dispatcher.attempt_failed(self, lease, failure)
        if failure.busy:
            self.attempts -= 1
        if turn is not None:
            turn.failed(lease, failure, self.times.ends_at, resume=False)

    def runs_on(self, index: int, generation: int) -> bool:
        """Asked when a backend is lost: if it is the second, it is dropped."""
        rival = self._rival
        if rival is not None and rival.lease.index == index and rival.lease.generation == generation:
            if rival.call is not None:
                rival.call.cancel()
            self.rival_failed(rival, errors.backend_lost(rival.lease.spec.name))
        return super().runs_on(index, generation)

    def _drop_rival(self) -> None:
        rival, self._rival = self._rival, None
        if rival is not None:
            if rival.call is not None:
                rival.call.cancel()
                rival.call = None
            self._dispatcher.let_go(rival.lease)

    def _let_go(self) -> None:
        self._drop_rival()
        super()._let_go()


class Rival:
    """The second attempt of an exchange; a `balancer.exchange.ports.Receiver`. Once it has won it only passes on."""

    __slots__ = ("asked_at", "call", "exchange", "lease", "won")

    def __init__(self, exchange: Hedged, lease: Lease, now: float) -> None:
        self.exchange = exchange
        self.lease = lease
        self.asked_at = now
        self.call: Call | None = None
        """While it is a rival: it holds this in turn, a cycle that would be left to the garbage collector."""
        self.won = False

    def on_events(self, events: bytes) -> None:
        if self.won:
            self.exchange.on_events(events)
        else:
            self.exchange.rival_speaks(self, events)

    def on_whole(self, body: bytes) -> None:
        """Never: it was asked for a stream."""
        self.on_failure(errors.backend_failed(self.lease.spec.name, "an answer that is no event stream"))

    def on_end(self) -> None:
        if self.won:
            self.exchange.on_end()
        else:
            self.on_failure(errors.backend_failed(self.lease.spec.name, "an answer without events"))

    def on_failure(self, failure: Failure) -> None:
        if self.won:
            self.exchange.on_failure(failure)
        else:
            self.exchange.rival_failed(self, failure)


def exchange_with(
    course: Course, dispatcher: Dispatcher, request: Request, model: str, sink: Sink, now: float, ends_at: float
) -> Exchange:
    """The exchange of a request that has a course."""
    if course.first_tokens is None:
        return FallbackExchange(dispatcher, request, model, sink, now, ends_at, course)
    return Hedged(dispatcher, request, model, sink, now, ends_at, course, course.first_tokens)
