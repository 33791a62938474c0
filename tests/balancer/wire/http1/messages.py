"""Requests as bytes."""

from __future__ import annotations

import pytest

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import RequestDecoder

HOST = b"Host: here\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"


def post(body: bytes, *, path: bytes = b"/v1/completions", headers: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: here\r\n%bContent-Length: %d\r\n\r\n%b" % (path, headers, len(body), body)


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def refusal(*stream: bytes) -> RemoteProtocolError:
    """The error that this input is refused with; nothing may come out before it."""
    decoder = RequestDecoder()
    with pytest.raises(RemoteProtocolError) as raised:  # noqa: PT012
        for piece in stream:
            assert decoder.feed(piece) == []
    with pytest.raises(RemoteProtocolError):
        decoder.feed(GET)  # and nothing after it
    return raised.value
