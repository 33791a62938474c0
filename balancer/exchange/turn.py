"""One exchange's way to a lease: at once if a slot is free and nobody waits, else through the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from balancer import errors
from balancer.admission.queue import Waiter
from balancer.errors import Failure
from balancer.exchange.refusal import nobody
from balancer.pool.backend import State
from balancer.pool.ledger import Lease
from balancer.request import Request
from balancer.routing.blocks import BLOCK_CHARS, prompt_blocks
from balancer.routing.eligible import possible
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed, session_of
from balancer.routing.select import NoBackend, NoBackendReason, NoSlot
from balancer.wire import classic

if TYPE_CHECKING:
    from balancer.exchange.dispatcher import Dispatcher

_FOR_GOOD = (NoBackendReason.WRONG_ENDPOINT, NoBackendReason.PROMPT_TOO_LONG)
"""No freed slot changes these."""
_TOKENS_EXPECTED = 256
"""Of an answer whose length the request does not bound."""


class Owner(Protocol):
    """Whose turn it is."""

    def leased(self, lease: Lease) -> None: ...

    def waits(self) -> None:
        """It is in the queue, or will be in a moment."""

    def position(self, position: int) -> None: ...

    def fail(self, failure: Failure) -> None:
        """There will be no lease."""

    def waited_out(self, now: float) -> None:
        """Nor in the time that it may wait."""


class Turn:
    """Any number of leases for one exchange, one after the other."""

    __slots__ = (
        "_blocks", "_cut", "_dispatcher", "_model", "_owner", "_queue_s", "_request", "_resume", "_until", "_waiter",
        "excluded", "last_failure",
    )  # fmt: skip

    def __init__(self, dispatcher: Dispatcher, request: Request, model: str, owner: Owner) -> None:
        self._dispatcher = dispatcher
        self._queue_s = dispatcher.limits.queue_s
        self._request = request
        self._model = model
        self._owner = owner
        self._waiter: Waiter | None = None
        self._until: float | None = None
        self._blocks: Sequence[int] | None = None
        """Of the prompt, once somebody wanted them."""
        self._resume = False
        self._cut: dict[str, bool] = {}
        """Whose connection broke within the answer, and whether it may go on with it."""
        self.excluded: frozenset[str] = frozenset()
        self.last_failure: Failure | None = None

    def failed(self, lease: Lease, failure: Failure, ends_at: float, *, resume: bool) -> None:
        """Who had this lease is not asked again; one that was only too busy is, if it will be in time."""
        if not failure.busy:
            self.exclude(lease.spec.process, failure, resume=resume)
            return
        now = self._dispatcher.clock.time()
        self._dispatcher.avoid(lease, failure)
        if now + (failure.retry_after_s or 0.0) > self._waits_until(now, ends_at):
            self.excluded |= {lease.spec.process}
            self.last_failure = self.last_failure if resume else failure

    def _waits_until(self, now: float, ends_at: float) -> float:
        return min(now + self._queue_s, ends_at) if self._until is None else self._until

    def exclude(self, process: str, failure: Failure, *, resume: bool) -> None:
        """This one has failed the request. ``resume``: from now on only those who can go on with an answer.

        One that the pool has declared dead needs no excluding, and if it lives again it is as good as any.
        """
        if failure.code != errors.BACKEND_LOST:
            self.excluded |= {process}
            if resume and failure.cut:
                self._cut.setdefault(process, True)
        if not (resume and self._resume):
            self.last_failure = failure  # what broke an answer is told, not why nobody could go on
        self._until = None
        self._resume = resume

    def take(self, ends_at: float, *, again: bool = False) -> None:
        """Lease a slot now, or wait for one. ``again``: it had its turn before, so it waits at the head."""
        dispatcher, request = self._dispatcher, self._request
        # In a full queue nobody waits for a slot that is free, but whoever needs another model than they may find one.
        if again or not len(dispatcher.queue) or not dispatcher.queue.has_room(request.prompt_bytes):
            found = self._route()
            if isinstance(found, NoBackend) and found.reason is NoBackendReason.EXCLUDED and self._forgive():
                found = self._route()
            if isinstance(found, Lease):
                self._owner.leased(found)
                return
            if isinstance(found, NoBackend) and not (self._resume and self._waits_out(found.reason)):
                self._owner.fail(self.last_failure or self._nobody(found.reason))
                return
        if self._until is None:  # set once: backends that answer 429 over and over do not begin the wait anew
            self._until = self._waits_until(dispatcher.clock.time(), ends_at)
        too_long_for_classic = request.prompt_bytes > classic.PROMPT_MAX_BYTES
        needs = (self._model, request.model is None, request.endpoint, self.excluded, self._resume)
        waiter = Waiter(
            serve=self._serve,
            expire=self._expired,
            told=self._owner.position,
            need=(*needs, too_long_for_classic),
            size_bytes=request.prompt_bytes,
            deadline=self._until,
            tenant=request.tenant,
            tokens=tokens_of(request),
            evict=self._put_out,
        )
        self._waiter = waiter
        if not dispatcher.queue.push(waiter, front=again):
            self._waiter = None
            self._owner.fail(errors.queue_full(len(dispatcher.queue), dispatcher.retry_after_s()))
            return
        self._owner.waits()
        if dispatcher.on_wait is not None:
            dispatcher.on_wait()
        dispatcher.queue.pump()
        if self._waits_as(waiter):
            self._owner.position(waiter.position)

    def _forgive(self) -> bool:
        """Where nobody else could go on, who lost its own stream may, once: it may have been the connection alone."""
        again = frozenset(process for process, may in self._cut.items() if may)
        self._cut = dict.fromkeys(self._cut, False)
        self.excluded -= again
        return bool(again)

    def _waits_out(self, reason: NoBackendReason) -> bool:
        """Whether who has half an answer waits this out: somebody may come, or come back."""
        if reason is not NoBackendReason.EXCLUDED:
            return reason is NoBackendReason.UNAVAILABLE
        offering = self._dispatcher.registry.view.models().get(self._model, ())
        return any(b.state in (State.JOINING, State.DEAD) and b.spec.process not in self.excluded for b in offering)

    def _waits_as(self, waiter: Waiter) -> bool:
        """Whether it still does: the queue may have served it."""
        return self._waiter is waiter

    def others(self, lease: Lease) -> bool:
        """Whether anybody in the pool could take the request instead of the one who had this lease."""
        need = self.need(self.excluded | {lease.spec.process})
        group = self._dispatcher.registry.view.group(need.model, need.endpoint, named=need.named, resume=need.resume)
        return any(possible(tier, need) for tier in group.tiers)

    def wait_until(self, time: float) -> None:
        """It may wait as long, if it waits."""
        if self._waiter is not None:
            self._waiter.deadline = max(self._waiter.deadline, time)

    def give_up(self) -> None:
        """Wait no more."""
        if self._waiter is not None:
            self._dispatcher.queue.remove(self._waiter)
            self._waiter = None

    def _serve(self) -> bool:
        """Called by the queue; True: it waits no more. A pool without any backend is waited out."""
        found = self._route()
        if isinstance(found, Lease):
            self._waiter = None
            self._owner.leased(found)
            return True
        if isinstance(found, NoBackend) and found.reason in _FOR_GOOD:
            self._waiter = None
            self._owner.fail(self.last_failure or self._nobody(found.reason))
            return True
        return False

    def _expired(self, now: float) -> None:
        """Its time in the queue is over; the queue has let go of it."""
        self._waiter = None
        self._owner.waited_out(now)

    def _put_out(self) -> None:
        """Its place went to a tenant that held less; the queue has let go of it."""
        self._waiter = None
        self._owner.fail(errors.queue_full(len(self._dispatcher.queue), self._dispatcher.retry_after_s()))

    def _route(self) -> Lease | NoSlot | NoBackend:
        return self._dispatcher.route(self.need(self.excluded))

    def need(self, excluded: frozenset[str]) -> RouteNeed:
        """What routing is asked for."""
        request = self._request
        named = request.model is not None or self._resume
        if self._blocks is None:
            long = request.prompt_bytes >= BLOCK_CHARS
            self._blocks = prompt_blocks(request.body) if long and self._dispatcher.router.wants_blocks else ()
        return RouteNeed(
            self._model,
            request.endpoint,
            request.prompt_bytes,
            excluded,
            named,
            self._resume,
            session_of(request.body),
            self._blocks,
        )

    def _nobody(self, reason: NoBackendReason) -> Failure:
        return nobody(reason, self._model, self._request.endpoint, self._dispatcher.retry_after_s())


def tokens_of(request: Request) -> int:
    """An estimate of what the request costs, in tokens of prompt and answer."""
    given = request.body.get("max_tokens") or request.body.get("max_completion_tokens")
    expected = given if isinstance(given, int) and given > 0 else _TOKENS_EXPECTED
    return request.prompt_bytes // BYTES_A_TOKEN + min(expected, _TOKENS_EXPECTED)
