"""Server-sent events (WHATWG HTML, 9.2): where one ends, and the data it carries.

Relaying needs only the first: bytes go on untouched up to the last complete event, the rest is held back, so that a
break never leaves half an event at a client. Line ends may be LF, CR or CRLF, split anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import EVENT_MAX_BYTES

DONE: Final = b"data: [DONE]\n\n"
# The end of an event: a line end and then an empty line. A CR that comes last may be the first half of a CRLF.
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|\Z))")
_END_MAX_BYTES: Final = 4
_BEGIN_BYTES: Final = 11
"""Up to the first key of what engines write: ``data: {"id":``."""
_LINE = re.compile(rb"\r\n|\n|\r")


class EventSplitter:
    """Holds back the incomplete tail of an event stream.

    ``feed`` gives all complete events so far as one run of bytes (possibly empty), untouched. Raises
    `RemoteProtocolError` when one event outgrows ``max_bytes``.
    """

    __slots__ = ("_begins", "_ends", "_held", "_max_bytes")

    def __init__(self, max_bytes: int = EVENT_MAX_BYTES) -> None:
        self._held = bytearray()
        self._max_bytes = max_bytes
        self._begins = b""
        self._ends = b""

    def feed(self, data: bytes) -> bytes:
        held = self._held
        if held:
            # Only an end that reaches into the new bytes can be new: what is held is not searched or copied again for
            # each small piece of a long event.
            seam = bytes(held[1 - _END_MAX_BYTES :])
            end = _last_end(seam + data)
            if end:
                end += len(held) - len(seam)
                data = bytes(held) + data
                held.clear()
        elif data.endswith(b"\n\n") and b"\r" not in data:
            return data  # the common case: whole events
        else:
            end = _last_end(data)
        held += data[end:]
        if len(held) > self._max_bytes:
            raise RemoteProtocolError("event_too_long", f"an event is longer than {self._max_bytes} bytes", status=502)
        return data[:end]

    @property
    def begun(self) -> bool:
        """Events with data have been asked about."""
        return self._begins != b""

    def alike(self, events: bytes) -> bool:
        """Whether these begin and end as the first ones did that were asked about: nobody reads what is relayed, but
        such are hardly anything else than chunks of the same answer."""
        if not self._begins:
            if events.startswith(b"data:"):
                self._begins, self._ends = events[:_BEGIN_BYTES], events[events.rfind(b"}") :]
            return True
        return events.startswith(self._begins) and events.endswith(self._ends)

    def finish(self) -> bytes:
        """At the end of the stream: a last event whose empty line is a single CR; half an event is dropped."""
        held = bytes(self._held)
        self._held.clear()
        return held if held.endswith((b"\r\r", b"\n\r")) else b""


def _last_end(data: bytes) -> int:
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    end = 0
    for match in _END.finditer(data):
        end = match.end()
    return end


def event_data(events: bytes) -> Iterator[bytes]:
    """The data of each complete event in ``events``; comments and other fields are passed over."""
    if events.startswith(b"data: ") and events.endswith(b"\n\n") and b"\r" not in events:
        parts = events[6:-2].split(b"\n\ndata: ")
        if events.count(b"\n") == 2 * len(parts):
            return iter(parts)  # what engines write: one line of data an event and nothing else
    return _event_data(events)


def _event_data(events: bytes) -> Iterator[bytes]:
    lines = events.split(b"\n") if b"\r" not in events else _LINE.split(events)
    data: bytes | None = None
    for line in lines:
        if not line:
            if data is not None:
                yield data
            data = None
        elif line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            data = value if data is None else data + b"\n" + value
        elif line == b"data":
            data = b"" if data is None else data + b"\n"
    if data is not None:
        yield data


def each_event(events: bytes) -> Iterator[bytes]:
    """Each of these complete events as it came, the empty line that ends it included."""
    at = 0
    for match in _END.finditer(events):
        yield events[at : match.end()]
        at = match.end()
    if at < len(events):
        yield events[at:]


def event(data: bytes) -> bytes:
    """One event that carries ``data`` (one line)."""
    return b"data: " + data + b"\n\n"
