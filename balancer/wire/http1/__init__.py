"""HTTP/1.1 (RFC 9112): requests and answers in both directions, on httptools, without I/O.

llhttp in its strict mode refuses what request smuggling needs (both Content-Length and Transfer-Encoding, two
lengths, bare line feeds, bad chunk ends); this adds what it leaves to its user: bounds on heads, bodies and all that
it buffers in between, Host, HTTP versions, transfer codings, and an upgrade that is not taken up (RFC 9110, 7.8).

* ``requests``, ``responses``  the two directions; ``parsing`` is what they share
* ``repeats``   heads that come again need no parser
* ``build``     what we write
"""

from __future__ import annotations

from typing import Final

from balancer.wire.http1.build import (
    CONTINUE,
    LAST_CHUNK,
    Headers,
    chunk,
    request,
    request_begun,
    response,
    response_head,
)
from balancer.wire.http1.requests import HttpRequest, RequestDecoder
from balancer.wire.http1.responses import ResponseDecoder

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "METHODS",
    "Headers",
    "HttpRequest",
    "RequestDecoder",
    "ResponseDecoder",
    "chunk",
    "request",
    "request_begun",
    "response",
    "response_head",
]

METHODS: Final = (
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
)
"""First bytes that mean HTTP."""
