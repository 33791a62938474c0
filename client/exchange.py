"""One request and its answer as far as it has arrived. Pure: time is an argument, nothing waits.

Events are kept until they are taken, within a bound; ``outcome`` is set once, and nothing arrives after it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from balancer.wire.limits import RESPONSE_MAX_BYTES
from balancer.wire.native import Reply
from client.errors import AnswerTooLong, ClientError, SlowReader, from_fields
from client.events import Chunk, Done, Event, Queued, Resumed, Text, Timing, done_from_fields

BUFFER_MAX_BYTES: Final = 1 << 20
"""Events of one answer that have arrived and were not taken yet."""

EVENT_OVERHEAD_BYTES: Final = 100
"""What one kept event costs beside its text; counted, so that a million empty pieces are bounded too."""


class Exchange:
    """One request on a connection, told apart by ``id``."""

    __slots__ = (
        "_arrived_bytes",
        "_buffer_max_bytes",
        "_ended_s",
        "_events",
        "_first_text_s",
        "_parts",
        "_started_s",
        "buffered_bytes",
        "cancelled",
        "id",
        "outcome",
        "pieces",
        "queued",
        "resumed",
    )

    def __init__(self, id: int, *, now: float, buffer_max_bytes: int = BUFFER_MAX_BYTES) -> None:
        self.id = id
        self.outcome: Done | ClientError | None = None
        self.queued: int | None = None
        self.resumed = 0
        self.cancelled = False
        self.pieces = 0
        self.buffered_bytes = 0
        self._buffer_max_bytes = buffer_max_bytes
        self._arrived_bytes = 0
        self._events: deque[Event] = deque()
        self._parts: list[str] = []
        self._started_s = now
        self._first_text_s: float | None = None
        self._ended_s: float | None = None

    @property
    def congested(self) -> bool:
        """More is buffered than a reader that keeps up would leave."""
        return self.buffered_bytes * 2 >= self._buffer_max_bytes

    @property
    def text(self) -> str:
        """Everything that has arrived, taken or not."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def take(self) -> Event | None:
        """The next event that was not taken yet, if one is there."""
        if not self._events:
            return None
        event = self._events.popleft()
        self.buffered_bytes -= _cost_bytes(event)
        return event

    def feed(self, reply: Reply, now: float) -> None:
        """Take in one reply for this exchange. Its own bounds end it with an error."""
        if self.outcome is not None:
            return
        if reply.text is not None:
            self._feed_text(reply.text, now)
        elif reply.done is not None:
            self.end(done_from_fields(reply.done), now)
        elif reply.error is not None:
            self.end(from_fields(reply.error), now)
        elif reply.queued is not None:
            position = reply.queued.get("position")
            self.queued = position if isinstance(position, int) else None
            self._keep(Queued(self.queued or 0), now)
        elif reply.resumed is not None:
            self.resumed += 1
            self._keep(Resumed(reply.resumed), now)
        elif reply.chunk:
            self._keep(Chunk(bytes(reply.chunk)), now)

    def end(self, outcome: Done | ClientError, now: float) -> None:
        """The first outcome stands; events that were not taken yet stay."""
        if self.outcome is None:
            self.outcome = outcome
            self.queued = None
            self._ended_s = now

    def drop_events(self) -> None:
        """Nobody will take what is left, nor what still comes."""
        self.cancelled = True
        self._events.clear()
        self.buffered_bytes = 0

    def timing(self, now: float) -> Timing:
        """How long it took, or has taken by ``now``."""
        done = self.outcome if isinstance(self.outcome, Done) else None
        tokens = done.tokens("completion_tokens") if done else None
        ttft_s = None if self._first_text_s is None else self._first_text_s - self._started_s
        total_s = (now if self._ended_s is None else self._ended_s) - self._started_s
        return Timing(ttft_s, total_s, self.pieces if tokens is None else tokens)

    def _feed_text(self, text: str, now: float) -> None:
        self.queued = None
        if self._first_text_s is None:
            self._first_text_s = now
        if self.cancelled:
            return
        self.pieces += 1
        self._arrived_bytes += len(text)
        if self._arrived_bytes > RESPONSE_MAX_BYTES:
            self.end(AnswerTooLong(f"the answer is longer than {RESPONSE_MAX_BYTES} characters"), now)
            return
        self._parts.append(text)
        self._keep(Text(text), now)

    def _keep(self, event: Event, now: float) -> None:
        if self.cancelled:
            return
        self._events.append(event)
        self.buffered_bytes += _cost_bytes(event)
        if self.buffered_bytes > self._buffer_max_bytes:
            self.end(
                SlowReader(f"{self._buffer_max_bytes} bytes of this answer were not read while others were"),
                now,
            )


def _cost_bytes(event: Event) -> int:
    if isinstance(event, Text):
        return EVENT_OVERHEAD_BYTES + len(event.text)
    return EVENT_OVERHEAD_BYTES + (len(event.json) if isinstance(event, Chunk) else 0)
