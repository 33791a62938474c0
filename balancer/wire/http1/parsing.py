"""What both directions share: the parser, bounds on what it buffers, and its errors as ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httptools

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import HEAD_MAX_BYTES, HEADERS_MAX

QUIET_MAX_BYTES: Final = 2 * HEAD_MAX_BYTES
"""Bytes after which the parser must have told us something: half a field, trailers, chunk extensions, blank lines."""
_ONCE: Final = frozenset({b"host", b"transfer-encoding"})


class Refused(Exception):
    """Raised inside a callback to stop the parser; carries the error to raise outside."""

    def __init__(self, error: RemoteProtocolError) -> None:
        super().__init__()
        self.error = error


def refuse(code: str, message: str, status: int) -> Refused:
    """What a callback raises to stop the parser."""
    return Refused(RemoteProtocolError(code, message, status=status))


@dataclass(init=False, slots=True)
class Head:
    """What callbacks have gathered of one head."""

    headers: dict[bytes, bytes]
    target: bytes
    fields: int
    size_bytes: int
    complete: bool

    def __init__(self) -> None:
        self.headers = {}
        self.target = b""
        self.fields = 0
        self.size_bytes = 0
        self.complete = False

    def add(self, name: bytes, value: bytes) -> None:
        if self.complete:
            return  # a trailer field: nobody reads it
        self.fields += 1
        self.size_bytes += len(name) + len(value) + 4
        if self.fields > HEADERS_MAX or self.size_bytes > HEAD_MAX_BYTES:
            raise refuse("head_too_large", "the header fields are too many or too long", 431)
        name = name.lower()
        if name in _ONCE and name in self.headers:
            raise refuse("bad_http", f"more than one {name.decode()} field", 400)
        self.headers[name] = value.rstrip(b" \t")  # the parser drops only the white space before it


class Decoder:
    """Shared by both directions: feeding, the bound on heads, and turning the parser's errors into ours."""

    _parser: httptools.HttpRequestParser | httptools.HttpResponseParser
    _head: Head
    _quiet_bytes: int
    """Bytes fed since the parser last told us something that is bounded elsewhere."""

    def _feed(self, data: bytes, bad_status: int) -> None:
        # Counted before parsing and set to zero by the callbacks: parsing may end in the middle of the next message.
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, Refused):
                raise cause.error from None
            raise
        except httptools.HttpParserError as error:
            raise RemoteProtocolError("bad_http", f"malformed HTTP: {error}", status=bad_status) from None
        if self._quiet_bytes > QUIET_MAX_BYTES:
            raise RemoteProtocolError("head_too_large", "the head or the trailer is too long", status=431)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.add(name, value)
