"""What is written during one turn of the event loop goes out at its end, everybody's together.

The kernel's part of a small write is dearer than ours: it wakes the reader, on another CPU as a rule, and its code
has left the CPU's caches by the next time. Written one behind the other, the answers of a turn wake a reader once. A
turn takes microseconds where there is little to do, so nobody waits for the others to speak of.
"""

from __future__ import annotations

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
