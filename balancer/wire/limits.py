"""Every bound of the wire, in one place, each with its unit in its name."""

from __future__ import annotations

LINE_MAX_BYTES = 1 << 20
"""A native line, its newline not counted."""

IN_FLIGHT_MAX = 256
"""Requests in flight at once on one native connection."""

ID_MAX_BYTES = 64
"""A request id that is a string, in UTF-8."""

PIPELINED_MAX_BYTES = 64 << 10
"""Input kept from a peer whose earlier request still runs; more closes the connection."""

BAD_LINES_MAX = 64
"""Lines of one native connection that make no sense, with no request among them. Whoever sends more is no client, and
each costs an answer."""

JSON_BRACKETS_MAX = 100_000
"""Objects and lists in one request: ten for each of as many messages as one may have. An empty one costs its sender
three bytes and us a hundred, and decoding them holds everybody up."""

JSON_DEPTH_MAX = 128
"""How deep a request's JSON may be nested: far more than tools need, far less than Python's stack."""

HEAD_MAX_BYTES = 32 << 10
"""An HTTP head: request or status line plus all header fields."""

HEADERS_MAX = 100
"""Header fields in one HTTP head."""

BODY_MAX_BYTES = 8 << 20
"""An HTTP request body."""

UNFINISHED_MAX_BYTES = 256 << 20
"""Bodies and lines of all clients together that have begun and not ended: 32 of the longest bodies at once. Whatever
one request has sent up to `PIPELINED_MAX_BYTES`, which any connection may cost, is always taken."""

EVENT_MAX_BYTES = 1 << 20
"""One server-sent event of an upstream answer."""

RESPONSE_MAX_BYTES = 16 << 20
"""A whole upstream answer that is not a stream."""

UNSENT_MAX_BYTES = 256 << 10
"""Bytes waiting to be written to a client; more pauses the upstream that makes them."""

DATAGRAM_MAX_BYTES = 512
"""A heartbeat datagram; longer ones are dropped unread."""

CONTROL_LINE_MAX_BYTES = 64 << 10
"""A line on a backend's control connection."""

CLASSIC_READ_BYTES = 1024
"""What a classic backend reads, once, for one prompt."""

BACKEND_MODELS_MAX = 256
"""Models that one backend may register."""

SLOTS_MAX = 65_536
"""Slots that one backend may register."""
