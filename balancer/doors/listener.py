"""One port for every protocol: the first bytes decide, then the connection is handed to its door.

``{`` or a blank is native, an HTTP method HTTP, ``CLIENT|`` or ``REGISTER|`` classic. Anything else is given to the
native door, whose error says in words what it expected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from balancer.wire.http1 import METHODS

log = logging.getLogger("balancer.doors")

FIRST_BYTES_S = 10.0
_CLASSIC = (b"CLIENT|", b"REGISTER|")
_TLS = 0x16
_KNOWN = METHODS + _CLASSIC
_LONGEST = max(map(len, _KNOWN))


@dataclass(frozen=True, slots=True)
class Doors:
    """Makes a protocol for a new connection of each kind."""

    native: Callable[[], asyncio.Protocol]
    http: Callable[[], asyncio.Protocol]
    classic: Callable[[], asyncio.Protocol]


def protocol_of(first: bytes) -> str | None:
    """Which protocol begins like this: native | http | classic | tls; ``None``: more bytes are needed."""
    if first[0] == _TLS:
        return "tls"
    for start in _KNOWN:
        if first.startswith(start):
            return "classic" if start in _CLASSIC else "http"
    if len(first) < _LONGEST and any(start.startswith(first) for start in _KNOWN):
        return None
    return "native"


class Sniffer(asyncio.Protocol):
    """A connection that has not said what it is."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._first = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(FIRST_BYTES_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._first = self._first + data if self._first else data
        kind = protocol_of(self._first)
        if kind == "tls":
            self._refuse_tls()
        elif kind is not None:
            self._hand_over(kind)

    def eof_received(self) -> bool | None:
        if not self._first:
            return False
        return self._hand_over("native").eof_received()  # too short to be anything else; that door says so

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None

    def _hand_over(self, kind: str) -> asyncio.Protocol:
        transport = self._transport
        assert transport is not None and self._timer is not None
        self._timer.cancel()
        make = {"native": self._doors.native, "http": self._doors.http, "classic": self._doors.classic}[kind]
        door = make()
        transport.set_protocol(door)
        door.connection_made(transport)
        door.data_received(self._first)
        return door

    def _refuse_tls(self) -> None:
        assert self._transport is not None
        peer = self._transport.get_extra_info("peername")
        log.info("a TLS handshake from %s on a port without a certificate", peer)
        self._transport.abort()
