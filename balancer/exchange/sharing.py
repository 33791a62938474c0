"""Single flight: who asks what is being answered already shares that answer, and no backend is asked again.

Equal is what has the same exact key in the cache: the same tenant, model and question, and all else that makes an
answer; and, where questions are read, what the learned verdict takes for the same question in other words. The first
one's request is the one that runs. If its client leaves or runs out of time it goes on for the
others, so nobody has to start anew; if its backend fails that is dealt with as ever, for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from balancer.cache.control import cache_control
from balancer.errors import Failure
from balancer.exchange.exchange import Exchange
from balancer.exchange.flight import JOINED, Flight, Seat
from balancer.exchange.outcome import Opening, Outcome
from balancer.exchange.ports import Sink
from balancer.exchange.state import Event, State, step

if TYPE_CHECKING:
    from balancer.cache.keys import CacheKeys
    from balancer.cache.running import Match
    from balancer.exchange.dispatcher import Dispatcher
    from balancer.request import Request

PASSENGERS_MAX = 1024
"""In one flight; whoever comes after them asks a backend himself."""


class Flights:
    """The exchanges that may be shared, by the exact key of their requests."""

    def __init__(self) -> None:
        self._leaders: dict[bytes, Sharing] = {}

    def __len__(self) -> int:
        return len(self._leaders)

    def find(self, key: bytes) -> Sharing | None:
        return self._leaders.get(key)

    def lead(self, key: bytes, exchange: Sharing) -> None:
        """It may be shared from now on; not where another one is shared under this key already."""
        self._leaders.setdefault(key, exchange)

    def end(self, key: bytes, exchange: Sharing) -> None:
        """It may be shared no longer."""
        if self._leaders.get(key) is exchange:
            del self._leaders[key]


class Sharing(Exchange):
    """An exchange that others may share, or that shares another's. Made by `Dispatcher.begin` only."""

    __slots__ = ("_flight", "_flights", "_keys", "_position", "_seat")

    def __init__(
        self,
        dispatcher: Dispatcher,
        request: Request,
        model: str,
        sink: Sink,
        now: float,
        ends_at: float,
        flights: Flights,
    ) -> None:
        super().__init__(dispatcher, request, model, sink, now, ends_at)
        self._flights = flights
        self._flight: Flight | None = None
        """Of those who share this one's answer."""
        self._keys: CacheKeys | None = None
        """Under which it may be shared."""
        self._seat: Seat | None = None
        """In another one's flight."""
        self._position = 0
        """In the queue, as last told."""

    # --- who asks

    def _missed(self) -> None:
        lookup, request = self._lookup, self.request
        if lookup is None or (keys := lookup.keys).exact is None or request.cache == "only":
            super()._missed()
            return
        control = cache_control(request.cache)
        leader = self._flights.find(keys.exact) if control.look else None
        seat = leader.take_in(self, keys, self._sink) if leader is not None else None
        if seat is None and control.look and (near := lookup.match()) is not None:
            seat = near.who.take_in(self, keys, self._sink, near)
            if seat is not None:
                lookup.joined(near)
        if seat is not None:
            self._seat = seat
            self.cache_part = JOINED
            self.state = step(self.state, Event.FOLLOW)
            self._call = seat
            if self._paused:
                seat.pause()
            return
        if control.store:
            self._keys = keys
            self._flights.lead(keys.exact, self)
            lookup.may_be_matched(self)
        super()._missed()

    def position(self, position: int) -> None:
        self._position = position
        super().position(position)

    # --- as the one who shares

    @property
    def ends_at(self) -> float:
        return self.times.ends_at

    def began(self) -> None:
        """The shared answer begins."""
        self.times.answers(self._dispatcher.clock.time())

    def arrived(self, outcome: Outcome) -> None:
        """The shared answer is complete."""
        self._call = None
        self.state = step(self.state, Event.END)
        mine = self.times.shared(outcome, JOINED, self._dispatcher.clock.time())
        if self._seat is not None and (near := self._seat.near) is not None:
            mine = replace(mine, similarity=near.similarity, probability=near.probability)
        self._sink.done(mine)
        self._let_go()
        self._dispatcher.ended(self, mine, None)

    # --- as the one who is shared

    def take_in(self, other: Sharing, keys: CacheKeys, sink: Sink, near: Match[Any] | None = None) -> Seat | None:
        """Let another share this one's answer, whatever of it has come; ``None`` where that can't be."""
        if not self.state.live:
            return None  # it has just ended: whoever hears that may ask again before it lets go
        flight, mine = self._flight, self.request
        if flight is not None and len(flight.others) >= PASSENGERS_MAX:
            return None
        if self._keys is None or self._keys.max_tokens != keys.max_tokens or not _alike(mine, other.request):
            return None
        opening, begun = None, None
        if self.state is State.STREAMING or self._resumption is not None:  # else nothing was told yet
            begun = self.journal.so_far()
            if begun is None:
                return None
            opening = Opening(self.backend, self.cache_part, self.attempts, resumed=self.resumed)
        if flight is None:
            flight = self._flight = Flight(self, self._sink)
            self._sink = flight
            if self._paused and flight.first is not None:
                flight.first.pause()
                super().resume()  # it is read at full speed, for the others
        self._wait_for(other)
        if self.state is State.QUEUED and self._position:
            sink.queued(self._position)
        return flight.board(other, sink, opening, begun, chat=mine.endpoint == "chat", near=near)

    def _wait_for(self, other: Sharing) -> None:
        """What it waits for may come as late as is early enough for this one."""
        if self._turn is not None:
            now = self._dispatcher.clock.time()
            self._turn.wait_until(min(now + other._limits.queue_s, other.times.ends_at))
        if (
            self._flight is not None and self._flight.first is None
        ):  # else it has its own client's time, until he leaves
            self.times.ends_at = max(self.times.ends_at, other.times.ends_at)

    def cancel(self) -> None:
        """The client left or asked to stop. The sink hears nothing more."""
        if self._flight is not None and self._flight.first is None:
            return  # it had left before
        if not self._goes_on(None):
            super().cancel()

    def cut(self, failure: Failure) -> None:
        """Its client could not follow."""
        if not self._goes_on(failure):
            super().fail(failure)

    def _goes_on(self, failure: Failure | None) -> bool:
        """Whether it goes on without its own client, for others; ``failure`` is what that client is told."""
        flight = self._flight
        if flight is None or flight.first is None or not flight.others or not self.state.live:
            return False
        seat = flight.first
        flight.leave(seat)
        if failure is not None:
            seat.sink.failed(failure)
        self._dispatcher.left(self, failure)
        self.times.ends_at = max(self.times.ends_at, flight.ends_at)
        return True

    def abandoned(self) -> None:
        """Who shared it has left as well."""
        super().cancel()

    def pause(self) -> None:
        """Its own client reads slower than the backend writes."""
        if self._flight is None:
            super().pause()
        elif self._flight.first is not None:
            self._flight.first.pause()

    def resume(self) -> None:
        """It reads again."""
        if self._flight is None:
            super().resume()
        elif self._flight.first is not None:
            self._flight.first.resume()

    def check(self, now: float) -> None:
        """Called every tick."""
        if now >= self.times.ends_at and self._goes_on(self.times.deadline_passed()):
            return
        super().check(now)

    def _let_go(self) -> None:
        keys, self._keys = self._keys, None
        if keys is not None and keys.exact is not None:
            self._flights.end(keys.exact, self)
            if self._lookup is not None:
                self._lookup.no_longer(self)
        super()._let_go()


def _alike(one: Request, other: Request) -> bool:
    """Whether what is no part of the key is the same, too, as far as it matters."""
    return (
        one.stream == other.stream  # what is gathered from a stream may lack what a whole answer tells
        and one.first_token_s == other.first_token_s
        and one.between_tokens_s == other.between_tokens_s
        and one.resumable == other.resumable
    )
