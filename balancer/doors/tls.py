"""TLS in front of the doors, on a connection whose first bytes were already read.

asyncio's ``start_tls`` waits for a client's hello that has come long ago. Its `SSLProtocol` would take it, but calls
private methods of the raw transport, keeps 256 KiB for each connection, buffers writes a second time, and after
close_notify sends nothing more. Here an `ssl.SSLObject` between two memory buffers turns bytes into bytes at once and
holds none back, so the raw transport's buffer, limits and pauses are those that a door sees.

A peer's close_notify closes its sending side only (RFC 8446, 6.1): a door is told of it as of any end of input.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast

log = logging.getLogger("balancer.doors")

HANDSHAKE_MAX_BYTES: Final = 64 << 10
"""What a client may send before it is through; a hello with every extension has a few KiB."""
PIECE_BYTES: Final = 16 << 10
"""Encrypted and decrypted at once: the buffers in between keep the size of the largest piece they ever held."""


class CertificateError(Exception):
    """A certificate or key that cannot be used; ``option`` is the one to blame, ``--tls-cert`` or ``--tls-key``."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class ServerContext(ssl.SSLContext):
    """One that can be told from another by what it was made of."""

    certificate: bytes = b""
    """What the certificate's file held."""


def server_context(certificate: Path, key: Path) -> ServerContext:
    """For connections that we accept: TLS 1.2 or later, HTTP/1.1. Raises `CertificateError`.

    ``certificate`` is a PEM file, ours first, then those between it and a root; ``key`` its private key, unencrypted.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # costs us more than the client that asks for it
    context.set_alpn_protocols(["http/1.1"])
    context.certificate = _read(certificate, "tls-cert")
    _read(key, "tls-key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError:
        raise CertificateError("tls-cert", f"{certificate} holds no certificate in PEM") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            message = f"{key} is not the key of the certificate in {certificate}"
        else:
            message = f"{key} holds no private key in PEM, or an encrypted one"
        raise CertificateError("tls-key", message) from None
    return context


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(option, f"{error.strerror}: {path}") from None


def _no_password() -> str:
    """Without it OpenSSL would ask for one on the terminal."""
    return ""


class TlsConnection(asyncio.Protocol):
    """The encrypted side of one connection: what the raw transport talks to.

    After the handshake, which must end within ``handshake_s``, a protocol made by ``inner`` gets a `TlsTransport` and
    lives as on any other transport.
    """

    def __init__(self, context: ssl.SSLContext, inner: Callable[[], asyncio.Protocol], handshake_s: float) -> None:
        self._inner = inner
        self._handshake_s = handshake_s
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._raw: asyncio.Transport | None = None
        self._transport: TlsTransport | None = None
        """Once the handshake is through."""
        self._timer: asyncio.TimerHandle | None = None
        self._handshake_bytes = 0
        self._failed = False
        self._peer_ended = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._handshake_s, self._raw.abort)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        view = memoryview(data)
        found: list[bytes] = []
        for start in range(0, len(view), PIECE_BYTES):
            if not self._deaf:
                self._take(view[start : start + PIECE_BYTES], found)
        self._send()
        if found and self._transport is not None:
            self._transport.protocol.data_received(found[0] if len(found) == 1 else b"".join(found))
        if self._peer_ended:
            self._end_of_input()

    def eof_received(self) -> bool:
        if self._transport is None:
            return False
        if not self._peer_ended:  # else it was told at the close_notify
            self._peer_ended = True
            self._end_of_input()
        return True

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._raw = None
        if self._timer is not None:
            self._timer.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.protocol.connection_lost(exc)

    # --- from bytes to bytes

    @property
    def _deaf(self) -> bool:
        """Input is read away: the peer has ended its own, or is not listened to any more."""
        return self._failed or self._peer_ended or (self._transport is not None and self._transport.ended)

    def _take(self, data: memoryview, found: list[bytes]) -> None:
        """Give OpenSSL some input and add what it decrypts to ``found``."""
        self._incoming.write(data)
        try:
            if self._transport is None:
                self._handshake_bytes += len(data)
                self._tls.do_handshake()
                self._enter()
            while chunk := self._tls.read(PIECE_BYTES):
                found.append(chunk)
            self._peer_ended = True  # a close_notify
        except ssl.SSLWantReadError:
            if self._transport is None and self._handshake_bytes > HANDSHAKE_MAX_BYTES:
                self._fail("a handshake without end")
        except ssl.SSLError as error:
            self._fail(error.reason or str(error))

    def _enter(self) -> None:
        assert self._raw is not None and self._timer is not None
        self._timer.cancel()
        self._transport = TlsTransport(self._raw, self._tls, self._outgoing, self._inner())
        self._transport.protocol.connection_made(self._transport)

    def _fail(self, reason: str) -> None:
        assert self._raw is not None
        log.debug("TLS with %s failed: %s", self._raw.get_extra_info("peername"), reason)
        self._failed = True
        if self._transport is not None:
            self._transport.abort()
            return
        self._send()  # the alert; who does not read it is cut when the handshake should have ended
        self._raw.close()

    def _send(self) -> None:
        if self._outgoing.pending and self._raw is not None and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _end_of_input(self) -> None:
        if self._transport is not None and not self._transport.protocol.eof_received():
            self._transport.close()


class TlsTransport(asyncio.Transport):
    """What a door writes to: bytes are encrypted and at once the raw transport's, whose buffer is the only one."""

    def __init__(
        self, raw: asyncio.Transport, tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._raw = raw
        self._tls = tls
        self._outgoing = outgoing
        self.protocol = protocol
        self.ended = False
        """Our close_notify is sent; nothing can be written after it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        left = memoryview(data)
        while left and not self.ended:
            try:
                sent = self._tls.write(left[:PIECE_BYTES])
            except ssl.SSLError:  # the connection has failed, and its end is on the way
                self.abort()
                return
            left = left[sent:]
            self._raw.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nothing more is said; what still comes is read away."""
        if not self.ended and not self._raw.is_closing():
            self._say_end()
            self._raw.write_eof()

    def close(self) -> None:
        if not self._raw.is_closing():
            self._say_end()
            self._raw.close()

    def abort(self) -> None:
        self.ended = True
        self._raw.abort()

    def _say_end(self) -> None:
        if self.ended:
            return
        self.ended = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it would like to read the peer's answer; nobody waits for that
        self._raw.write(self._outgoing.read())

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``ssl_object``, or what the raw transport knows: ``peername``, ``sockname``, ``socket``."""
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()
