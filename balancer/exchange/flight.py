"""One answer for all who asked the same while it was being made: the sink of an exchange that is shared.

It is read at full speed: who reads slower than it comes has what he has not read yet kept for him, up to a bound, and
is cut alone when that is reached.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from balancer import errors
from balancer.cache.running import Match
from balancer.errors import Failure
from balancer.exchange.outcome import Opening, Outcome
from balancer.exchange.ports import Sink
from balancer.wire.continuation import Begun
from balancer.wire.limits import UNSENT_MAX_BYTES
from balancer.wire.openai import text_event

JOINED = "joined"
"""What the cache did for who shares an answer that another asked for."""


class Passenger(Protocol):
    """The exchange of one who shares the answer."""

    @property
    def ends_at(self) -> float:
        """When it must be over."""

    def began(self) -> None:
        """It begins."""

    def arrived(self, outcome: Outcome) -> None:
        """It was complete."""

    def fail(self, failure: Failure) -> None: ...


class Seat:
    """One client's part in a flight; a follower's exchange uses it as its `balancer.exchange.ports.Call`."""

    __slots__ = ("_flight", "_held", "_held_bytes", "near", "passenger", "paused", "sink")

    def __init__(self, flight: Flight, sink: Sink, passenger: Passenger | None) -> None:
        """``passenger`` ``None``: the one whose request it is."""
        self._flight = flight
        self._held: list[bytes] = []
        """Events that came while its client did not read."""
        self._held_bytes = 0
        self.sink = sink
        self.passenger = passenger
        self.paused = False
        self.near: Match[Any] | None = None
        """Where another question is answered that means the same."""

    def opened(self, opening: Opening) -> None:
        if self.passenger is None:
            self.sink.opened(opening)
        else:
            self.passenger.began()
            self.sink.opened(self._mine(opening))

    def resumed(self, opening: Opening) -> None:
        self.sink.resumed(opening if self.passenger is None else self._mine(opening))

    def _mine(self, opening: Opening) -> Opening:
        near = self.near
        if near is None:
            return replace(opening, cache=JOINED, attempts=0)
        return replace(opening, cache=JOINED, attempts=0, similarity=near.similarity, probability=near.probability)

    def events(self, events: bytes) -> None:
        """Raises `ValueError` for what its door cannot read."""
        if not self.paused:
            self.sink.events(events)
            return
        self._held.append(events)
        self._held_bytes += len(events)

    @property
    def too_slow(self) -> bool:
        return self._held_bytes > UNSENT_MAX_BYTES

    def flush(self) -> Failure | None:
        """Tell what is held. Gives why its door cannot: others have read it, so nobody is asked again for this one."""
        if self._held:
            held, self._held, self._held_bytes = b"".join(self._held), [], 0
            try:
                self.sink.events(held)
            except ValueError as error:
                return self._flight.unreadable(error)
        return None

    # --- Call

    def cancel(self) -> None:
        self._flight.leave(self)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        if (failure := self.flush()) is not None:
            self._flight.cut(self, failure)


class Leader(Protocol):
    """The exchange that is shared."""

    def cut(self, failure: Failure) -> None:
        """Its own client reads too slowly."""

    def abandoned(self) -> None:
        """Nobody listens any more."""


class Flight:
    """All who share an exchange; its sink from the moment when the second one came."""

    def __init__(self, leader: Leader, sink: Sink) -> None:
        self._leader = leader
        self._over = False
        self._backend = ""
        self.first: Seat | None = Seat(self, sink, None)
        """Of the one whose request it is; ``None``: he has left, and the others go on."""
        self.others: list[Seat] = []

    def board(
        self,
        passenger: Passenger,
        sink: Sink,
        opening: Opening | None,
        begun: Begun | None,
        *,
        chat: bool,
        near: Match[Any] | None = None,
    ) -> Seat:
        """Take one more in: told who answers, if that is known, and all that was told so far."""
        seat = Seat(self, sink, passenger)
        seat.near = near
        if opening is not None:
            self._backend = opening.backend
            seat.opened(opening)
        if begun is not None:  # without a text, too: it is what tells the role
            endpoint = "chat" if chat else "completions"
            seat.events(text_event(endpoint, begun.id, begun.model, begun.created, begun.text))
        self.others.append(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """Its client has left, or cannot wait any longer."""
        if seat is self.first:
            self.first = None
        elif seat in self.others:
            self.others.remove(seat)
        if not self._over and self.first is None and not self.others:
            self._leader.abandoned()

    @property
    def ends_at(self) -> float:
        """When the last of the others must have its answer."""
        return max(seat.passenger.ends_at for seat in self.others if seat.passenger is not None)

    def _seats(self) -> list[Seat]:
        return [self.first, *self.others] if self.first is not None else [*self.others]

    # --- Sink

    def opened(self, opening: Opening) -> None:
        self._backend = opening.backend
        for seat in self._seats():
            seat.opened(opening)

    def resumed(self, opening: Opening) -> None:
        self._backend = opening.backend
        for seat in self._seats():
            seat.resumed(opening)

    def queued(self, position: int) -> None:
        for seat in self._seats():
            seat.sink.queued(position)

    def events(self, events: bytes) -> None:
        """Raises `ValueError` where the first who is told cannot read them: then nobody was told, and another backend
        may be asked. Who alone cannot is cut."""
        told = False
        for seat in self._seats():
            try:
                seat.events(events)
            except ValueError as error:
                if not told:
                    raise
                self.cut(seat, self.unreadable(error))
            told = True
            if seat.too_slow:
                self.cut(seat, errors.client_too_slow())

    def unreadable(self, error: ValueError) -> Failure:
        """What the door of one client could not read, though the others relay it."""
        return errors.backend_failed(self._backend, f"events that cannot be read: {error}")

    def cut(self, seat: Seat, failure: Failure) -> None:
        """Go on without this one."""
        (seat.passenger.fail if seat.passenger is not None else self._leader.cut)(failure)

    def whole(self, body: bytes) -> None:
        for seat in self._seats():
            seat.sink.whole(body)

    def done(self, outcome: Outcome) -> None:
        self._over = True
        for seat in self._seats():
            failure = seat.flush()
            if seat.passenger is None:
                seat.sink.failed(failure) if failure is not None else seat.sink.done(outcome)
            else:
                seat.passenger.fail(failure) if failure is not None else seat.passenger.arrived(outcome)

    def failed(self, failure: Failure) -> None:
        self._over = True
        for seat in self._seats():
            seat.flush()
            if seat.passenger is None:
                seat.sink.failed(failure)
            else:
                seat.passenger.fail(failure)
