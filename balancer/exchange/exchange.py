"""One request, from arrival to its last token: the driver around the table in ``state``.

Everything is a callback on the event loop's thread: no task, no lock, no await. A door begins an exchange and hears
of it through its `Sink`; an upstream reports through the `Receiver` methods. What happens when something breaks is
decided here: before the first byte another backend is asked, once; after it the client gets an explicit error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer import errors
from balancer.admission.queue import Waiter
from balancer.cache.entry import Entry
from balancer.errors import Failure
from balancer.exchange.cached import entry_events
from balancer.exchange.journal import Journal
from balancer.exchange.lookup import Lookup
from balancer.exchange.ports import Call, Opening, Sink
from balancer.exchange.refusal import nobody
from balancer.exchange.state import Event, State, step
from balancer.exchange.timeline import Timeline
from balancer.pool.ledger import Lease
from balancer.request import Request
from balancer.routing.policy import RouteNeed
from balancer.routing.select import NoBackend, NoBackendReason, NoSlot
from balancer.wire import classic

if TYPE_CHECKING:
    from balancer.exchange.dispatcher import Dispatcher

ATTEMPTS_MAX = 2
_FOR_GOOD = (NoBackendReason.WRONG_ENDPOINT, NoBackendReason.PROMPT_TOO_LONG)
"""No freed slot changes these."""
BUSY_AVOID_MAX_S = 1.0
"""A backend that answered 429 is left alone this long at most: its next beat tells more than its header."""


class Exchange:
    """See the module. Made by `Dispatcher.begin` only."""

    # fmt: off
    __slots__ = (
        "_attempts", "_call", "_excluded", "_hub", "_journal", "_last_failure", "_lease", "_lookup",
        "_paused", "_queue_until", "_sink", "_waiter", "model", "request", "state", "times",
    )
    # fmt: on

    def __init__(self, hub: Dispatcher, request: Request, model: str, sink: Sink, now: float, ends_at: float) -> None:
        self._hub = hub
        self._sink = sink
        self.request = request
        self.model = model
        self.state = State.ARRIVED
        self.times = Timeline(now, ends_at)
        self._lookup: Lookup | None = None
        self._waiter: Waiter | None = None
        self._queue_until: float | None = None
        self._lease: Lease | None = None
        self._call: Call | None = None
        self._journal = Journal()
        self._excluded: frozenset[str] = frozenset()
        self._last_failure: Failure | None = None
        self._attempts = 0
        self._paused = False

    def cancel(self) -> None:
        """The client left or asked to stop. The sink hears nothing more."""
        if self.state.live:
            self._end(Event.CANCEL)

    def pause(self) -> None:
        """The client reads slower than the backend writes."""
        self._paused = True
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.times.heard_at = self._hub.clock.time()
            if self._call is not None:
                self._call.resume()

    # --- cache

    def start(self) -> None:
        """Look in the cache, then ask a backend. Called once, by the dispatcher."""
        if self._hub.cache is None:
            self._missed()
            return
        self._lookup = Lookup(self._hub.cache, self.request, self.model, self._serve, self._missed)
        if self._lookup.begin():
            self.state = step(self.state, Event.EMBED)

    def _missed(self) -> None:
        if self.request.cache == "only":
            self.fail(errors.not_cached())
        else:
            self._admit()

    def _serve(self, entry: Entry, kind: str, similarity: float | None) -> None:
        """Answer from the cache: the entry's text as events, like any other answer."""
        self.state = step(self.state, Event.HIT)
        outcome = self.times.cached(self.model, entry, kind, similarity, self._hub.clock.time())
        self._sink.opened(Opening(outcome.backend, kind, 0, similarity, outcome.age_s))
        self._sink.events(entry_events(entry, self.request, self.model, self._hub.unix_time()))
        self._hub.ended(self, outcome, None)
        self._sink.done(outcome)

    def _admit(self, *, again: bool = False) -> None:
        """Lease a slot now, or wait for one. ``again``: it had its turn before, so it waits at the head."""
        hub, request = self._hub, self.request
        if again or not len(hub.queue):
            found = self._route()
            if isinstance(found, Lease):
                self._ask(found)
                return
            if isinstance(found, NoBackend):
                self.fail(self._last_failure or self._nobody(found.reason))
                return
        if self._queue_until is None:  # set once: backends that answer 429 over and over do not begin the wait anew
            self._queue_until = min(hub.clock.time() + hub.limits.queue_s, self.times.ends_at)
        too_long_for_classic = request.prompt_bytes > classic.PROMPT_MAX_BYTES
        self._waiter = Waiter(
            serve=self._serve_waiter,
            expire=self._queue_expired,
            told=self._sink.queued,
            need=(self.model, request.model is None, request.endpoint, self._excluded, too_long_for_classic),
            size_bytes=request.prompt_bytes,
            deadline=self._queue_until,
        )
        if not hub.queue.push(self._waiter, front=again):
            self._waiter = None
            self.fail(errors.queue_full(len(hub.queue), hub.retry_after_s()))
            return
        self.state = step(self.state, Event.ENQUEUE)
        hub.queue.pump()
        if self._waiter is not None:
            self._sink.queued(self._waiter.position)

    def _serve_waiter(self) -> bool:
        """Called by the queue; True: it waits no more. A pool without any backend is waited out."""
        found = self._route()
        if isinstance(found, Lease):
            self._waiter = None
            self._ask(found)
            return True
        if isinstance(found, NoBackend) and found.reason in _FOR_GOOD:
            self._waiter = None
            self.fail(self._nobody(found.reason))
            return True
        return False

    def _nobody(self, reason: NoBackendReason) -> Failure:
        return nobody(reason, self.model, self.request.endpoint, self._hub.retry_after_s())

    def _route(self) -> Lease | NoSlot | NoBackend:
        hub, request = self._hub, self.request
        named = request.model is not None
        need = RouteNeed(self.model, request.endpoint, request.prompt_bytes, self._excluded, named)
        return hub.route(need)

    # --- the backend's side

    def _ask(self, lease: Lease) -> None:
        self.state = step(self.state, Event.LEASE)
        self._lease = lease
        self._attempts += 1
        self.times.leased_at = self.times.heard_at = self._hub.clock.time()
        spec, request = lease.spec, self.request
        self._call = self._hub.upstreams[spec.kind].ask(spec, request, spec.serves(self.model), self)
        if self._paused:
            self._call.pause()

    def on_events(self, events: bytes) -> None:
        self.times.heard_at = now = self._hub.clock.time()
        if self.state is State.ASKING:
            self.times.first_at = now
            self._open()
        try:
            self._sink.events(events)
        except ValueError as error:
            # What the sink could not read it did not relay: if it was the first, another backend may still be asked.
            self._give_up(errors.backend_failed(self._backend, f"events that cannot be read: {error}"))
            return
        if self.state is State.ASKING:
            self.state = step(self.state, Event.FIRST)
        self._journal.add(events)

    def on_whole(self, body: bytes) -> None:
        self.times.first_at = self._hub.clock.time()
        try:
            self._journal.add_whole(body)
        except ValueError as error:
            self._give_up(errors.backend_failed(self._backend, f"an answer that cannot be read: {error}"))
            return
        self._open()
        self.state = step(self.state, Event.FIRST)
        self._sink.whole(body)

    def _open(self) -> None:
        self._sink.opened(Opening(self._backend, self._cache_part, self._attempts))

    @property
    def _cache_part(self) -> str:
        if self._hub.cache is None:
            return "off"
        return "bypass" if self.request.cache == "bypass" else "miss"

    def on_end(self) -> None:
        self._call = None
        if self.state is not State.STREAMING:
            self.on_failure(errors.backend_failed(self._backend, "an answer without events"))
            return
        assert self._lease is not None
        now = self._hub.clock.time()
        model = self._lease.spec.serves(self.model)
        outcome = self.times.answered(model, self._backend, self._cache_part, self._attempts, now)
        if self._lookup is not None:
            self._lookup.store(self._journal, outcome)
        self.state = step(self.state, Event.END)
        # The sink first: pumping the queue for the freed slot may do a lot of work for others.
        self._sink.done(outcome)
        self._let_go()
        self._hub.ended(self, outcome, None)

    def on_failure(self, failure: Failure) -> None:
        """The call is over. Before the first byte it may be made again elsewhere; a busy backend blames nobody."""
        self._call = None
        self._hub.attempt_failed(self, self._backend, failure)
        lease, self._lease = self._lease, None
        assert lease is not None
        spent = self._attempts >= ATTEMPTS_MAX and not failure.busy
        if self.state is State.STREAMING or not failure.retryable or spent:
            self._lease = lease
            self.fail(failure)
            return
        if failure.busy:
            self._attempts -= 1
            until = self._hub.clock.time() + min(failure.retry_after_s or BUSY_AVOID_MAX_S, BUSY_AVOID_MAX_S)
            self._hub.avoid(lease, until)
        else:
            self._excluded |= {lease.spec.name}
            self._last_failure = failure
            self._queue_until = None
        self.state = step(self.state, Event.AGAIN)
        # It has its next turn before the slot it gives back can be taken by one who came later.
        self._admit(again=True)
        lease.release()

    def backend_lost(self) -> None:
        """The backend was declared dead: nothing is waited for."""
        if self._call is not None:
            self._call.cancel()
        self.on_failure(errors.backend_lost(self._backend))

    def runs_on(self, index: int, generation: int) -> bool:
        lease = self._lease
        return lease is not None and lease.index == index and lease.generation == generation

    @property
    def _backend(self) -> str:
        return self._lease.spec.name if self._lease is not None else "?"

    def check(self, now: float) -> None:
        """Called every tick: has any of this exchange's deadlines passed?"""
        if not self.state.live:
            return  # it ended while the same tick looked at another one
        if now >= self.times.ends_at:
            self.fail(self.times.deadline_passed())
        elif self._call is not None and not self._paused:
            late = self.times.backend_late(self.state, self._backend, self._hub.limits, now, stream=self.request.stream)
            if late is not None:
                self._give_up(late)

    def _give_up(self, failure: Failure) -> None:
        if self._call is not None:
            self._call.cancel()
        self.on_failure(failure)

    def _queue_expired(self, now: float) -> None:
        """Its time in the queue is over; the queue has let go of it."""
        self._waiter = None
        if now >= self.times.ends_at:
            self.fail(self.times.deadline_passed())
        else:
            self.fail(errors.queue_timeout(now - self.times.began_at, self._hub.retry_after_s()))

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
        self._hub.ended(self, None, failure)

    def _let_go(self) -> None:
        """Give back whatever is held; the order does not matter, doing it twice does no harm."""
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
        if self._waiter is not None:
            self._hub.queue.remove(self._waiter)
            self._waiter = None
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None
