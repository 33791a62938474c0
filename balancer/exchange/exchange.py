"""One request, from arrival to its last token: the driver around the table in ``state``.

Everything is a callback on the event loop's thread: no task, no lock, no await. A door begins an exchange and hears
of it through its `Sink`; an upstream reports through the `Receiver` methods. What happens when something breaks is
decided here: before the first byte another backend is asked (a retry, within a budget); after it another backend goes
on from the text so far (a resume) where the request allows it, else the client gets an explicit error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer import errors
from balancer.cache.store import Hit
from balancer.errors import Failure
from balancer.exchange.cached_answer import tell
from balancer.exchange.journal import Journal
from balancer.exchange.lookup import Lookup
from balancer.exchange.outcome import Opening
from balancer.exchange.ports import Call, Sink
from balancer.exchange.recovery import Recovery
from balancer.exchange.resumption import Resumption, resumption_of
from balancer.exchange.state import Event, State, step
from balancer.exchange.timeline import Timeline
from balancer.exchange.turn import Turn
from balancer.exchange.unread import UNREAD, Unread
from balancer.pool.ledger import Lease
from balancer.request import Request
from balancer.wire.openai import without_prompt_ids
from balancer.wire.sse import event_data

if TYPE_CHECKING:
    from balancer.exchange.dispatcher import Dispatcher


class Exchange:
    """See the module. Made by `Dispatcher.begin` only."""

    __slots__ = (
        "_call", "_dispatcher", "_lease", "_limits", "_lookup", "_paused", "_recovery", "_resumption", "_sink", "_turn",
        "attempts", "backend", "cache_part", "journal", "model", "request", "resumed", "state", "times",
    )  # fmt: skip

    def __init__(
        self, dispatcher: Dispatcher, request: Request, model: str, sink: Sink, now: float, ends_at: float
    ) -> None:
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits  # those of now: a reload is for who comes after it
        self._sink = sink
        self.request = request
        self.model = model
        self.state = State.ARRIVED
        self.times = Timeline(now, ends_at)
        self.journal = Unread() if request.endpoint in UNREAD else Journal()
        self.backend = ""
        """Who was asked last."""
        looked = request.cache != "bypass" and request.endpoint not in UNREAD
        self.cache_part = "off" if dispatcher.cache is None else "miss" if looked else "bypass"
        """What the cache did for an answer that a backend makes."""
        self.attempts = 0
        """Backends asked until one answered."""
        self.resumed = 0
        """How often another backend went on."""
        self._lookup: Lookup | None = None
        self._turn: Turn | None = None
        self._lease: Lease | None = None
        self._call: Call | None = None
        self._recovery: Recovery | None = None
        self._resumption: Resumption | None = None
        self._paused = False

    def cancel(self) -> None:
        """The client left or asked to stop. The sink hears nothing more."""
        if self.state.live:
            self._end(Event.CANCEL)

    def pause(self) -> None:
        """The client reads slower than the backend writes."""
        self._paused = self.times.client_slow = True
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """It reads again."""
        self._paused = False
        self.times.read_again(self._dispatcher.clock.time())
        if self._call is not None:
            self._call.resume()

    # --- cache

    def start(self) -> None:
        """Look in the cache, then ask a backend. Called once, by the dispatcher."""
        if self._dispatcher.cache is None or self.request.endpoint in UNREAD:
            return self._missed()
        self._lookup = Lookup(self._dispatcher.cache, self.request, self.model, self._serve, self._missed)
        if self._lookup.begin():
            self.state = step(self.state, Event.EMBED)

    def _missed(self) -> None:
        if self._lookup is not None and self._lookup.shadow:
            self.cache_part = "shadow"
        if self.request.cache == "only":
            self.fail(errors.not_cached())
        else:
            self._turn = Turn(self._dispatcher, self.request, self.model, self)
            self._turn.take(self.times.ends_at)

    def _serve(self, hit: Hit) -> None:
        """Answer from the cache."""
        self.state = step(self.state, Event.HIT)
        outcome = self.times.cached(self.model, hit, self._dispatcher.clock.time())
        tell(self._sink, hit, outcome, self.request, self._dispatcher.unix_time())
        self._dispatcher.ended(self, outcome, None)
        self._sink.done(outcome)

    # --- a lease, at once or after a wait

    def leased(self, lease: Lease) -> None:
        """It is this exchange's turn: ask the backend."""
        self.state = step(self.state, Event.LEASE)
        self._lease = lease
        spec, request, resumption = lease.spec, self.request, self._resumption
        self.backend = spec.name
        self.attempts += resumption is None
        asked = request if resumption is None else resumption.request_for(spec)
        if asked is None:
            return self.on_failure(errors.rejected("it cannot go on with this answer", None, 400))
        self.times.asked(self._dispatcher.clock.time())
        self._call = self._dispatcher.upstreams[spec.kind].ask(spec, asked, spec.serves(self.model), self)
        if self._paused:
            self._call.pause()

    def waits(self) -> None:
        self.state = step(self.state, Event.ENQUEUE)

    def position(self, position: int) -> None:
        if self._resumption is None:  # who has half an answer already is told nothing of queues
            self._sink.queued(position)

    def waited_out(self, now: float) -> None:
        if now >= self.times.ends_at:
            if (silent := self.times.silent(self.state, self.backend, self._limits, now)) and self._lease is not None:
                self._dispatcher.attempt_failed(self, self._lease, silent)
            self.fail(self.times.deadline_passed())
        elif self._resumption is not None:
            self.fail(self._resumption.broken_by)
        else:
            self.fail(errors.queue_timeout(now - self.times.began_at, self._dispatcher.retry_after_s()))

    # --- the backend's side

    def on_events(self, events: bytes) -> None:
        times = self.times
        times.heard_at = now = self._dispatcher.clock.time()
        times.pieces += 1
        try:
            if self._resumption is not None:
                events = self._resumption.rewrite(events)
            if self.state is not State.STREAMING:
                self._first_events(events, now)
            elif events:
                self._sink.events(events)
        except ValueError as error:
            # What the sink could not read it did not relay; if it was the first, another backend may still be asked.
            self._give_up(errors.backend_failed(self.backend, f"events that cannot be read: {error}"))
            return
        self.journal.add(events)

    def _first_events(self, events: bytes, now: float) -> None:
        """The first of this backend."""
        if next(event_data(events), None) is None:
            return  # comments, or a role that was told before: it lives, but there is nothing of an answer yet
        self.times.answers(now)
        if self._lease is not None:
            self._dispatcher.first_token(self._lease, now)
        if self._resumption is not None:
            self.resumed += 1
            self._sink.resumed(Opening(self.backend, self.cache_part, self.attempts, resumed=self.resumed))
        else:
            self._sink.opened(Opening(self.backend, self.cache_part, self.attempts))
            request = self.request
            if b'"prompt_token_ids"' in events and request.resumable and "return_token_ids" not in request.body:
                events = without_prompt_ids(events)  # asked for by us alone; the journal keeps them
        if events:
            self._sink.events(events)
        self.state = step(self.state, Event.FIRST)

    def on_whole(self, body: bytes) -> None:
        self.times.answers(self._dispatcher.clock.time())
        try:
            self.journal.add_whole(body)
        except ValueError as error:
            self._give_up(errors.backend_failed(self.backend, f"an answer that cannot be read: {error}"))
            return
        self._sink.opened(Opening(self.backend, self.cache_part, self.attempts))
        self.state = step(self.state, Event.FIRST)
        self._sink.whole(body)

    def on_end(self) -> None:
        self._call = None
        if self.state is State.STREAMING:
            self._complete()
        else:
            self.on_failure(errors.backend_failed(self.backend, "an answer without events"))

    def _complete(self, *, broken: bool = False) -> None:
        lease, now = self._lease, self._dispatcher.clock.time()
        assert lease is not None
        if not broken:
            self._dispatcher.answered(self, lease, now)
        outcome = self.times.answered(lease.spec, self.model, self.cache_part, self.attempts, self.resumed, now)
        if self._lookup is not None:
            self._lookup.store(self.journal, outcome)
        self.state = step(self.state, Event.END)
        # The sink first: pumping the queue for the freed slot may do a lot of work for others.
        try:
            self._sink.done(outcome)
        finally:  # whatever a door does, the slot is given back
            self._let_go()
            self._dispatcher.ended(self, outcome, None)

    # --- when something breaks

    def on_failure(self, failure: Failure) -> None:
        """The call is over. Another backend is asked, or goes on; a busy one blames nobody."""
        lease, turn, self._call = self._lease, self._turn, None
        assert lease is not None and turn is not None
        self._dispatcher.attempt_failed(self, lease, failure)
        recovery = self._recovery = self._recovery or Recovery()
        if self.state is State.STREAMING:
            self._broken(failure, recovery, lease)
        elif not self._may_ask_again(failure, recovery, turn, lease):
            self.fail(self._resumption.broken_by if self._resumption is not None else failure)
        if not self.state.live or self._lease is not lease:  # it has ended, or has fallen back on another model
            return
        if failure.busy:
            self.attempts -= self._resumption is None
        turn.failed(lease, failure, self.times.ends_at, resume=self._resumption is not None and self._resumption.bound)
        self.state = step(self.state, Event.AGAIN)
        self._lease = None
        # It has its next turn before the slot it gives back can be taken by one who came later.
        turn.take(self.times.ends_at, again=True)
        self._dispatcher.let_go(lease)

    def _may_ask_again(self, failure: Failure, recovery: Recovery, turn: Turn, lease: Lease) -> bool:
        """Nothing came of this backend: may another one be asked?"""
        if failure.busy:
            return True
        if self._resumption is not None:
            return recovery.may_resume()
        # Where nobody else is there is no retry to pay for: the budget is for those who have somebody.
        return recovery.may_retry(failure, self.attempts, lambda: turn.others(lease) and self._dispatcher.may_retry())

    def _broken(self, failure: Failure, recovery: Recovery, lease: Lease) -> None:
        """A stream broke: prepare to go on with it; where that cannot be, end it."""
        before, may = self._resumption, recovery.may_resume()
        resumption = resumption_of(self.request, self.journal, failure, lease.spec, before) if may else None
        if resumption is None:
            return self.fail(failure)
        self._resumption = resumption
        if (last_events := resumption.rest()) is not None:
            self._sink.events(last_events)
            self.journal.add(last_events)
            self._complete(broken=True)

    def backend_lost(self) -> None:
        """The backend was declared dead: nothing is waited for."""
        self._give_up(errors.backend_lost(self.backend))

    def runs_on(self, index: int, generation: int) -> bool:
        lease = self._lease
        return lease is not None and lease.index == index and lease.generation == generation

    def check(self, now: float) -> None:
        """Called every tick: has any of this exchange's deadlines passed?"""
        if not self.state.live:
            return  # it ended while the same tick looked at another one
        if now >= self.times.ends_at:
            if (silent := self.times.silent(self.state, self.backend, self._limits, now)) and self._lease is not None:
                self._dispatcher.attempt_failed(self, self._lease, silent)
            self.fail(self.times.deadline_passed())
        elif self._call is not None and not self._paused:
            late = self.times.backend_late(self.state, self.backend, self._limits, self.request, now)
            if late is not None:
                self._give_up(late)

    def _give_up(self, failure: Failure) -> None:
        if self._call is not None:
            self._call.cancel()
        self.on_failure(failure)

    # --- endings

    def fail(self, failure: Failure) -> None:
        """End it with an error, if it has not ended."""
        if self.state.live:
            self._end(Event.FAIL, failure)

    def _end(self, event: Event, failure: Failure | None = None) -> None:
        self.state = step(self.state, event)
        if failure is not None:
            self._sink.failed(failure)
        self._let_go()
        self._dispatcher.ended(self, None, failure)

    def _let_go(self) -> None:
        """Give back whatever is held; the order does not matter, doing it twice does no harm."""
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
        if self._turn is not None:
            self._turn.give_up()
            self._turn = None  # it holds this in turn: a cycle would be left to the garbage collector
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._lease is not None:
            self._dispatcher.let_go(self._lease)
            self._lease = None
