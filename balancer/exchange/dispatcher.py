"""All exchanges of the daemon: begins them, sweeps their deadlines, ends those whose backend died, counts.

One sweep a tick over all exchanges costs less than a timer for each: at 9,000 streams about a millisecond.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from balancer import errors
from balancer.admission.aliases import ModelRules
from balancer.admission.models import resolve_model
from balancer.admission.queue import WaitQueue
from balancer.errors import Failure, Source
from balancer.exchange.budget import RetryBudget
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.course import Course, ToldSink, course_of
from balancer.exchange.exchange import Exchange
from balancer.exchange.first_tokens import FirstTokens
from balancer.exchange.hedged import exchange_with
from balancer.exchange.outcome import Outcome, Record
from balancer.exchange.ports import Clock, Sink, Upstream
from balancer.exchange.recording import record_of, record_of_refusal
from balancer.exchange.recovery import avoid_s
from balancer.exchange.sharing import Flights, Sharing
from balancer.exchange.state import State
from balancer.exchange.timeline import Limits
from balancer.exchange.unread import UNREAD
from balancer.pool.backend import CLASSIC_MODEL
from balancer.pool.breaker import BreakerEvent
from balancer.pool.ledger import Lease
from balancer.pool.registry import Registry
from balancer.pool.transition import Transition
from balancer.request import Request
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.select import NoBackend, NoSlot, Router

log = logging.getLogger("balancer.exchange")

RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 120.0
COUNTERS_MAX = 256
"""Some codes come from engines: beyond so many the rest counts as ``failed.other``."""
_LOGGED_MAX_CHARS = 300


class Dispatcher:
    """See the module. Single threaded; every method is synchronous."""

    def __init__(
        self,
        *,
        registry: Registry,
        router: Router,
        queue: WaitQueue,
        upstreams: Mapping[str, Upstream],
        clock: Clock,
        unix_time: Callable[[], int],
        limits: Limits,
        cache: CacheLane | None = None,
        default_model: str | None = None,
    ) -> None:
        self.registry = registry
        self.queue = queue
        self.upstreams = upstreams
        self.clock = clock
        self.unix_time = unix_time
        self.limits = limits
        self.cache = cache
        self.counts: Counter[str] = Counter()
        """Since the start: requests, completed, cancelled, resumed, attempts_failed, and ``failed.CODE`` for each."""
        self.observers: list[Callable[[Record], None]] = []
        """Told of every request that has ended, the refused ones too."""
        self.attempt_observers: list[Callable[[str, Failure], None]] = []
        """Told of every backend that was asked in vain, or was busy."""
        self.on_wait: Callable[[], None] | None = None
        """Told whenever a request has to wait for a slot."""
        self.stopping = False
        self.router = router
        self.default_model = default_model
        self.rules: ModelRules | None = None
        """What the operator says of models' names; a reload puts others here."""
        self.hedging: FirstTokens | None = None  # set: a second backend is asked where the first is late
        self.flights = Flights() if cache is not None else None
        self.budget = RetryBudget()
        self._active: dict[Exchange, None] = {}
        self._left: dict[Exchange, tuple[Failure | None, float]] = {}
        """Whose own clients left, why and when, while their answers go on for others."""
        self._started_at = clock.time()
        self._retry_at: float | None = None
        """When a backend that had answered 429 may be asked again, if somebody waits for that."""
        self._seconds_per_exchange = 1.0
        registry.ledger.on_free = self._slot_freed
        registry.ledger.on_beat = self._heard

    @property
    def uptime_s(self) -> float:
        return self.clock.time() - self._started_at

    @property
    def active(self) -> int:
        """Exchanges under way, those that wait included."""
        return len(self._active)

    # --- doors

    def begin(self, request: Request, sink: Sink) -> Exchange | None:
        """Start on a request. ``None`` if it was refused at once; the sink was told why."""
        self.counts["requests"] += 1
        self.budget.asked()
        if self.stopping:
            self._refuse(request, sink, errors.shutting_down())
            return None
        registry, now = self.registry, self.clock.time()
        offered, model = registry.view.models(), request.model
        course: Course | None = None
        if self.rules is not None or request.wishes is not None or self.hedging is not None:
            planned = course_of(request, self.rules, self.default_model, self.router.rng, self.hedging)
            if isinstance(planned, Failure):
                self._refuse(request, sink, planned)
                return None
            if planned is not None:
                course, model = planned, planned.chain.model
        if model is None or model not in offered:
            found = resolve_model(
                model,
                offered,
                self.default_model,
                CLASSIC_MODEL,
                lambda name: registry.model_seen(name, now),
                now - self._started_at,
                registry.view.awaits_models(),
            )
            if isinstance(found, Failure) and course is not None and (other := course.first_offered(offered)):
                self.counts["fallbacks"] += 1
                found = other
            if isinstance(found, Failure):
                self._refuse(request, sink, found)
                return None
            model = found
        seconds = self.limits.request_s
        if request.deadline_s is not None and request.deadline_s < seconds:
            seconds = request.deadline_s
        if course is not None and course.is_plain:  # so it may be shared, as what names the model itself
            course.model, sink, course = model, ToldSink(sink, course), None
        exchange: Exchange
        if course is not None:
            exchange = exchange_with(course, self, request, model, sink, now, now + seconds)
        elif self.flights is not None and request.endpoint not in UNREAD:
            exchange = Sharing(self, request, model, sink, now, now + seconds, self.flights)
        else:
            exchange = Exchange(self, request, model, sink, now, now + seconds)
        self._active[exchange] = None
        exchange.start()
        return exchange

    def _refuse(self, request: Request, sink: Sink, failure: Failure) -> None:
        self._count_failure(failure)
        sink.failed(failure)
        if self.observers:
            self._tell(record_of_refusal(request, failure))

    def _count_failure(self, failure: Failure) -> None:
        name = "failed." + failure.code
        self.counts[name if name in self.counts or len(self.counts) < COUNTERS_MAX else "failed.other"] += 1

    # --- exchanges

    def route(self, need: RouteNeed) -> Lease | NoSlot | NoBackend:
        """Choose a backend and reserve a slot on it."""
        found = self.router.route(self.registry.view, self.registry.ledger, need, self.clock.time())
        if isinstance(found, NoSlot) and found.not_before is not None:
            self._retry_at = min(found.not_before, self._retry_at or found.not_before)
        return found

    def first_token(self, lease: Lease, now: float) -> None:
        """The backend of this lease began to answer."""
        self.router.first_token(lease, self.registry.ledger, now)

    def let_go(self, lease: Lease) -> None:
        """Give a lease back, whatever became of it."""
        self.router.ended(lease, self.registry.ledger, self.clock.time())
        lease.release()

    def _heard(self, index: int) -> None:
        self.router.beat(index, self.registry.ledger, self.clock.time())

    def avoid(self, lease: Lease, failure: Failure) -> None:
        """The backend of this lease said that it is at its limit: ask it nothing new for a while."""
        self.registry.ledger.avoid(lease, self.clock.time() + avoid_s(failure))

    def retry_after_s(self) -> float:
        """An estimate of when a slot may be free: what waits, at the pace at which exchanges end, over all slots."""
        slots = int(self.registry.ledger.slots_np.sum()) or 1
        estimate = (len(self.queue) + 1) * self._seconds_per_exchange / slots
        return round(min(max(estimate, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S), 1)

    def may_retry(self) -> bool:
        """Whether the budget has room for one more retry; if so, it is spent."""
        allowed = self.budget.spend(len(self._active))
        self.counts["retries" if allowed else "retries_refused"] += 1
        return allowed

    def attempt_failed(self, exchange: Exchange, lease: Lease, failure: Failure) -> None:
        """A call came to nothing, or broke off."""
        self.counts["attempts_busy" if failure.busy else "attempts_failed"] += 1
        for observer in self.attempt_observers:
            observer(lease.spec.name, failure)
        if failure.busy:
            return
        log.warning("request %s: %s", exchange.request.id, " ".join(failure.logged.split())[:_LOGGED_MAX_CHARS])
        if failure.source is Source.BACKEND and failure.code != errors.BACKEND_LOST:
            self.router.failed(lease, self.registry.ledger, self.clock.time())
            self._say(self.registry.breaker.failed(lease, self.clock.time()))

    def answered(self, exchange: Exchange, lease: Lease, now: float) -> None:
        """A backend has given all that it was asked for."""
        prompt_tokens = exchange.request.prompt_bytes // BYTES_A_TOKEN
        ttft_s, itl_s = exchange.times.pace()
        events = self.registry.breaker.succeeded(lease, now, ttft_s=ttft_s, prompt_tokens=prompt_tokens, itl_s=itl_s)
        if events:
            self._say(events)

    def _say(self, events: Iterable[BreakerEvent]) -> None:
        for event in events:
            level = logging.WARNING if event.kind in ("ejected", "panic") else logging.INFO
            what = "model" if event.kind.startswith("panic") else "backend"
            log.log(level, "%s %s %s: %s", what, event.name, event.kind.replace("_", " "), event.reason)

    def ended(self, exchange: Exchange, outcome: Outcome | None, failure: Failure | None) -> None:
        """Called once by every exchange that was begun."""
        self._active.pop(exchange, None)
        if exchange.resumed:
            self.counts["resumed"] += exchange.resumed
        if self._left and exchange in self._left:
            outcome, (failure, now) = None, self._left.pop(exchange)
        else:
            now = self.clock.time()
            self._count(outcome, failure)
        if self.observers:
            self._tell(record_of(exchange, outcome, failure, now))

    def left(self, exchange: Exchange, failure: Failure | None) -> None:
        """Its own client's part is over; it goes on for others, who are noted each for itself. The tokens are still its
        own, so it is recorded when all have come."""
        self._left[exchange] = failure, self.clock.time()
        self._count(None, failure)

    def _count(self, outcome: Outcome | None, failure: Failure | None) -> None:
        if outcome is not None:
            self.counts["completed"] += 1
            self.counts["cache." + outcome.cache] += 1
            if outcome.attempts:
                self._seconds_per_exchange += 0.1 * (outcome.total_s - outcome.queue_s - self._seconds_per_exchange)
        elif failure is not None:
            self._count_failure(failure)
        else:
            self.counts["cancelled"] += 1

    def _tell(self, record: Record) -> None:
        for observer in self.observers:
            observer(record)

    # --- pool and time

    def pool_changed(self, transitions: Iterable[Transition]) -> None:
        """End the exchanges of backends that are gone, and see whether others can start."""
        for transition in transitions:
            if transition.ends_exchanges:
                for exchange in list(self._active):
                    if exchange.runs_on(transition.index, transition.generation):
                        exchange.backend_lost()
        self.queue.pump()

    def heard_since(self, name: str, since: float) -> bool:
        """Whether tokens came from this backend since then."""
        streaming = [exchange for exchange in self._active if exchange.state is State.STREAMING]
        return any(exchange.backend == name and exchange.times.heard_at > since for exchange in streaming)

    def _slot_freed(self, index: int) -> None:
        if len(self.queue):
            self.queue.pump()

    def advance(self, now: float) -> None:
        """Every tick, after the registry: deadlines, and backends that are no longer avoided."""
        if self.registry.stall_s:
            # This process stood still: what its peers said meanwhile is not read yet, so they are late in nothing.
            self.queue.postpone(self.registry.stall_s)
            for exchange in self._active:
                exchange.times.postpone(self.registry.stall_s)
        self.budget.advance(now)
        self._say(self.registry.breaker.take_events())
        for waiter in self.queue.expired(now):
            waiter.expire(now)
        for exchange in list(self._active):
            exchange.check(now)
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self.queue.pump()

    def tell_positions(self) -> None:
        """Tell waiting clients where they are; called about twice a second."""
        for waiter in self.queue.moved():
            waiter.told(waiter.position)

    def stop(self) -> None:
        """Take no new requests; what runs goes on."""
        self.stopping = True

    def abort(self) -> None:
        """End all that still runs, with an explicit error."""
        for exchange in list(self._active):
            exchange.fail(errors.shutting_down())

    def count_states(self) -> dict[str, int]:
        """Exchanges under way, by state."""
        found = Counter(exchange.state.value for exchange in self._active)
        return {state.value: found[state.value] for state in State if state.live}
