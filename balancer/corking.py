"""What is written during one turn of the event loop goes out at its end, everybody's together.

The kernel's part of a small write is dearer than ours: it wakes the reader, on another CPU as a rule, and its code
has left the CPU's caches by the next time. Written one behind the other, the answers of a turn wake a reader once. A
turn takes microseconds where there is little to do, so nobody waits for the others to speak of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Writer(Protocol):
    """Who has something to write."""

    def flush(self) -> None:
        """Write it now. A connection that has closed has nothing to write; this never raises."""


class Cork:
    """``call_soon``: the loop's own."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._writers: list[Writer] = []

    def hold(self, writer: Writer) -> None:
        """Flush it at the end of this turn. Called for the first thing that it has to write."""
        if not self._writers:
            self._call_soon(self._flush)
        self._writers.append(writer)

    def _flush(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.flush()


class Outbox:
    """What one connection has to write: it goes out at the end of the turn; at once where there is no cork."""

    __slots__ = ("_cork", "_held", "transport")

    def __init__(self, cork: Cork | None) -> None:
        self._cork = cork
        self._held: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        """While the connection is open."""

    @property
    def unsent(self) -> bool:
        """Part of it waits for the end of the turn, or for the other side to read."""
        return bool(self._held) or (self.transport is not None and self.transport.get_write_buffer_size() > 0)

    def write(self, data: bytes) -> None:
        """Nothing, once the connection is lost."""
        transport, cork = self.transport, self._cork
        if transport is None:
            return
        if cork is None:
            transport.write(data)
            return
        if not self._held:
            cork.hold(self)
        self._held.append(data)

    def flush(self) -> None:
        """Let go what is held back."""
        if self._held and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self._held))
        self._held.clear()

    def lost(self) -> None:
        """The connection is; what it had to write goes with it."""
        self.transport = None
        self._held.clear()
