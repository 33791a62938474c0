"""One port for every protocol: the first bytes decide, then the connection is handed to its door.

``{`` or a blank is native, an HTTP method HTTP, ``CLIENT|`` or ``REGISTER|`` classic, 0x16 TLS, inside which it all
begins anew. A request line with any other method is HTTP's as well, where it gets one answer instead of one for each
line. Anything else is given to the native door, whose error says in words what it expected.

Where there is a certificate, other machines must use it, so that no key travels in clear text. Two need none: agents,
which prove a token without sending it, and classic peers, whom an operator has let in by name.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from balancer.doors.addresses import host_of, is_loopback
from balancer.doors.answer import failure_answer
from balancer.doors.clients import LINGER_S
from balancer.doors.descriptors import Gate
from balancer.doors.native_answer import failure_line
from balancer.doors.tls import TlsConnection
from balancer.errors import bad_request
from balancer.wire import http1
from balancer.wire.http1 import METHODS

log = logging.getLogger("balancer.doors")

FIRST_BYTES_S = 10.0
_CLASSIC = (b"CLIENT|", b"REGISTER|")
_TLS = 0x16
_KNOWN = METHODS + _CLASSIC
_LONGEST = max(map(len, _KNOWN))
_OTHER_METHOD: Final = re.compile(rb"[A-Za-z]{1,20} [!-~]{1,1024} HTTP/[0-9]")
_OTHER_METHOD_BEGUN: Final = re.compile(rb"[A-Za-z]{1,20}(?: (?:[!-~]{1,1024}(?: H?T?T?P?/?)?)?)?")
"""Most that fits and is no request line ends at its line's end at the latest."""
_REGISTER: Final = re.compile(rb'\{\s*"register"\s*:')
_REGISTER_MAX_BYTES = 64
"""A registration's first line shows within so many bytes what it is."""
PLAIN_REFUSED: Final = "other machines must use TLS here: https:// for HTTP"


@dataclass(slots=True)
class Doors:
    """Makes a protocol for a new connection of each kind."""

    native: Callable[[], asyncio.Protocol]
    http: Callable[[], asyncio.Protocol]
    classic: Callable[[], asyncio.Protocol]
    new_id: Callable[[], str]
    """Names an answer that comes from no door."""
    first_bytes_s: float = FIRST_BYTES_S
    """How long a connection may take to say what it is; as long again for a handshake."""
    tls: ssl.SSLContext | None = None
    """``None``: there is no certificate. After a reload another holds from the next connection on."""
    plain_from_elsewhere: bool = False
    """Clients on other machines may do without TLS although there is a certificate."""
    gate: Gate | None = None


def protocol_of(first: bytes) -> str | None:
    """Which protocol begins like this: native | http | classic | tls; ``None``: more bytes are needed."""
    if first[0] == _TLS:
        return "tls"
    for start in _KNOWN:
        if first.startswith(start):
            return "classic" if start in _CLASSIC else "http"
    if len(first) < _LONGEST and any(start.startswith(first) for start in _KNOWN):
        return None
    if _OTHER_METHOD.match(first):
        return "http"
    return None if _OTHER_METHOD_BEGUN.fullmatch(first) else "native"


def begins_registration(first: bytes) -> bool | None:
    """Whether a native connection begins like an agent's; ``None``: more bytes are needed."""
    text = first.lstrip()
    if _REGISTER.match(text):
        return True
    return False if b"\n" in text or len(first) >= _REGISTER_MAX_BYTES else None


class Sniffer(asyncio.Protocol):
    """A connection that has not said what it is."""

    def __init__(self, doors: Doors, *, encrypted: bool = False) -> None:
        self._doors = doors
        self._encrypted = encrypted
        self._first = b""
        self._refused = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._doors.first_bytes_s, self._transport.abort)
        gate = self._doors.gate
        if gate is not None and not gate.admits(transport.get_extra_info("socket").fileno(), loop.time()):
            self._refused = True
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._first = self._first + data if self._first else data
        kind = protocol_of(self._first)
        if kind == "tls":
            self._begin_tls()
        elif kind is not None:
            allowed = self._may_be_plain(kind)
            if allowed:
                self._hand_over(kind)
            elif allowed is not None:
                self._refuse_plain(kind)

    def eof_received(self) -> bool | None:
        if not self._first or self._refused:
            return False
        if not self._may_be_plain("native"):
            self._refuse_plain("native")
            return False
        return self._hand_over("native").eof_received()  # too short to be anything else; that door says so

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None

    def _hand_over(self, kind: str) -> asyncio.Protocol:
        return self._become(
            {"native": self._doors.native, "http": self._doors.http, "classic": self._doors.classic}[kind]()
        )

    def _become(self, protocol: asyncio.Protocol) -> asyncio.Protocol:
        transport = self._transport
        assert transport is not None and self._timer is not None
        self._timer.cancel()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._first)
        return protocol

    # --- TLS, and those who come without

    def _begin_tls(self) -> None:
        assert self._transport is not None
        context = self._doors.tls
        if context is None or self._encrypted:
            peer = self._transport.get_extra_info("peername")
            log.info("a TLS handshake from %s on a port without a certificate", peer)
            self._transport.abort()
        else:
            doors = self._doors
            self._become(TlsConnection(context, lambda: Sniffer(doors, encrypted=True), doors.first_bytes_s))

    def _may_be_plain(self, kind: str) -> bool | None:
        """Whether a connection of this kind may go on as it is; ``None``: more bytes are needed."""
        doors = self._doors
        if self._encrypted or doors.tls is None or doors.plain_from_elsewhere or kind == "classic":
            return True
        assert self._transport is not None
        if is_loopback(host_of(self._transport.get_extra_info("peername"))):
            return True
        return begins_registration(self._first) if kind == "native" else False

    def _refuse_plain(self, kind: str) -> None:
        transport = self._transport
        assert transport is not None and self._timer is not None
        self._refused = True
        failure = bad_request(PLAIN_REFUSED, "tls_required")
        if kind == "http":
            answer = failure_answer(failure, (("x-request-id", self._doors.new_id()),))
            transport.write(http1.response(answer.status, answer.body, answer.headers, keep_alive=False))
        else:
            transport.write(failure_line(None, failure))
        transport.write_eof()
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)
