"""Newline framing: any split of the same bytes gives the same lines, in bounded memory."""

from __future__ import annotations

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import LINE_MAX_BYTES


class LineDecoder:
    """Cuts a byte stream into lines. A line ends with ``\\n``; a ``\\r`` before it is dropped.

    ``feed`` raises `RemoteProtocolError` (``line_too_long``) once a line exceeds ``max_bytes``; what follows
    on that connection has no defined meaning, so the decoder refuses to go on. Lines that stood whole before the
    long one are given first: ``error`` is then set, and the next call raises it.
    """

    __slots__ = ("_held", "_max_bytes", "error")

    def __init__(self, max_bytes: int = LINE_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()  # a list of parts would cost 40 bytes for each byte a slow peer sends
        self.error: RemoteProtocolError | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a line whose end has not arrived."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, give the lines they complete, without their line ends."""
        if self.error is not None:
            raise self.error
        if b"\n" not in data:
            self._held += data
            if len(self._held) > self._max_bytes:
                raise self._too_long()
            return []
        lines = data.split(b"\n")
        rest = lines.pop()
        if self._held:
            lines[0] = bytes(self._held) + lines[0]
            self._held.clear()
        for i, line in enumerate(lines):
            if len(line) > self._max_bytes:
                error = self._too_long()
                if i == 0:
                    raise error
                return lines[:i]
            if line.endswith(b"\r"):
                lines[i] = line[:-1]
        if len(rest) > self._max_bytes:
            self._too_long()
        else:
            self._held += rest
        return lines

    def rest(self) -> bytes:
        """At the end of the stream: the last line, if it lacks its newline."""
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _too_long(self) -> RemoteProtocolError:
        self._held.clear()
        self.error = RemoteProtocolError("line_too_long", f"a line is longer than {self._max_bytes} bytes", status=413)
        return self.error
