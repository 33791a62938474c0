"""Who waits for a vector: lookups of the cache, clients who asked for embeddings, background work.

Each is bounded and in the order of arrival. Lookups come first; clients and background work take turns, and a batch
of clients' texts is small, since a lookup that comes meanwhile has to wait for its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from balancer.adapters.embedder.frames import TokenVectors, Vector

LOOKUPS_MAX: Final = 256
BACKGROUND_MAX: Final = 1024
ENCODINGS_MAX: Final = 1024
ENCODING_BATCH_MAX_BYTES: Final = 128
"""Of clients' texts in one batch, unless a single text is longer: a lookup that comes meanwhile has only 30 ms."""

Callback = Callable[[Vector | None], None]

log = logging.getLogger(__name__)


class Ticket:
    """One text on its way to a vector. Its callback is called once, with ``None`` where there is no vector in time."""

    __slots__ = ("_callback", "cut", "encoded", "timer", "token_vectors", "tokens", "vector")

    def __init__(self, encoded: bytes, callback: Callback, *, cut: bool = False) -> None:
        self.encoded = encoded
        """The text, in UTF-8."""
        self.cut = cut
        """A client asked: of a text that is too long its beginning will do."""
        self.tokens = 0
        """How many the model read, where a client asked."""
        self.vector: Vector | None = None
        """Filled when the vector comes, be it after the callback was told that it is late."""
        self.token_vectors: TokenVectors | None = None
        """As ``vector``, where the model tells its tokens (see `frames`); not where a client asked."""
        self.timer: asyncio.TimerHandle | None = None
        """Runs while there is a limit on the wait."""
        self._callback: Callback | None = callback

    def settle(self, vector: Vector | None) -> None:
        """Keep the vector, and tell the callback unless it has been told already."""
        self.vector = vector
        self._tell(vector)

    def give_up(self) -> None:
        """Tell the callback that the vector is late; it is still wanted."""
        self._tell(None)

    def cancel(self) -> None:
        """Tell nobody any more."""
        self._callback = None
        self._stop_timer()

    def _tell(self, vector: Vector | None) -> None:
        self._stop_timer()
        callback, self._callback = self._callback, None
        if callback is None:
            return
        try:
            callback(vector)
        except Exception:  # one caller's fault must not take the other texts of its batch along
            log.exception("a callback for a vector failed")

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class WaitingTickets:
    """Three ordered sets of tickets."""

    __slots__ = ("_background", "_encodings", "_encodings_next", "_lookups")

    def __init__(self) -> None:
        self._lookups: dict[Ticket, None] = {}
        self._background: dict[Ticket, None] = {}
        self._encodings: dict[Ticket, None] = {}
        self._encodings_next = True

    @property
    def lookups(self) -> int:
        return len(self._lookups)

    @property
    def background(self) -> int:
        return len(self._background)

    @property
    def encodings(self) -> int:
        return len(self._encodings)

    def add(self, ticket: Ticket, *, background: bool) -> bool:
        """Let a ticket wait; false if there is no room."""
        if ticket.cut:
            waiting, limit = self._encodings, ENCODINGS_MAX
        else:
            waiting, limit = (self._background, BACKGROUND_MAX) if background else (self._lookups, LOOKUPS_MAX)
        if len(waiting) >= limit:
            return False
        waiting[ticket] = None
        return True

    def demote(self, ticket: Ticket) -> None:
        """Nobody waits for this lookup any more, so it goes behind those that somebody waits for."""
        if ticket in self._lookups:
            del self._lookups[ticket]
            self.add(ticket, background=True)

    def discard(self, ticket: Ticket) -> None:
        """Let a ticket leave, if it is here."""
        self._lookups.pop(ticket, None)
        self._background.pop(ticket, None)
        self._encodings.pop(ticket, None)

    def take(self, limit: int) -> list[Ticket]:
        """The next batch: lookups alone if there are any, so that none is slowed down by other work."""
        waiting = self._lookups or self._next_other()
        batch = [ticket for ticket, _ in zip(waiting, range(limit), strict=False)]
        if waiting is self._encodings:
            total = 0
            for at, ticket in enumerate(batch):
                total += len(ticket.encoded)
                if at and total > ENCODING_BATCH_MAX_BYTES:
                    del batch[at:]
                    break
        for ticket in batch:
            del waiting[ticket]
        return batch

    def _next_other(self) -> dict[Ticket, None]:
        if self._encodings and (self._encodings_next or not self._background):
            self._encodings_next = False
            return self._encodings
        self._encodings_next = True
        return self._background

    def take_all(self) -> list[Ticket]:
        """Everybody, because nobody will be served."""
        everybody = [*self._lookups, *self._encodings, *self._background]
        for waiting in (self._lookups, self._encodings, self._background):
            waiting.clear()
        return everybody
