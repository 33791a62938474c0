"""Whether a client has left whose connection is not being read, so that its end is not seen: the kernel knows."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
"""Its first byte is the connection's state; on Linux alone."""
_CLOSE: Final = 7
_CLOSE_WAIT: Final = 8
"""States that come of a reset, and of the end of the peer's sending side (RFC 9293, 3.3.2; numbered by Linux)."""


def has_left(transport: asyncio.BaseTransport | None) -> bool:
    """Whether the other side has closed; false where that cannot be known."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or _TCP_INFO is None:
        return False
    try:
        state = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
    except (OSError, ValueError):  # closed by now
        return True
    return state in (_CLOSE, _CLOSE_WAIT)
