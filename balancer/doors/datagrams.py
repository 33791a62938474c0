"""Datagrams read many at a time: what asyncio-dgram's stream stands on here.

Strategy: to wake up for a datagram costs more than all that is done with one, and a thousand agents that beat once a
second send one each millisecond. So the first is read when it comes, and then the socket rests: what comes within
`REST_S` waits in the kernel and is read together. One who beats alone never waits.

Rejected: `asyncio_dgram.bind`. On uvloop it wakes up for every datagram (42 us for each and its answer, of which this
leaves 15), and nothing can pause it. Its stream is the same on any transport.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from asyncio_dgram.aio import DatagramServer, Protocol

from balancer.wire.limits import DATAGRAM_MAX_BYTES

REST_S = 0.05
BATCH_MAX = 64
"""Read at once; the loop turns before the next."""
RECEIVE_BUFFER_BYTES = 1 << 20
"""Asked of the kernel, which may give less: room for 4,096 backends that beat at the same moment."""


async def bind(host: str, port: int) -> tuple[DatagramServer, asyncio.DatagramTransport, asyncio.Queue[Any]]:
    """A stream of the datagrams that come to this address, its transport, and what it has received and not given yet:
    datagrams with who sent them, a pair of ``None`` at the end. Raises `OSError`: it is taken, or there is no such."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    received: asyncio.Queue[Any] = asyncio.Queue()
    errors: asyncio.Queue[Any] = asyncio.Queue()
    writable = asyncio.Event()
    protocol = Protocol(received, errors, writable)
    transport: Any = RestingTransport(sock, protocol)  # the library's stub calls it a protocol
    return DatagramServer(transport, received, errors, writable), transport, received


class RestingTransport(asyncio.DatagramTransport):
    """Reads a socket that does not block. What cannot be sent at once is lost, as any datagram may be."""

    def __init__(self, sock: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None
        self._closing = False
        protocol.connection_made(self)
        self._loop.add_reader(sock, self._read)

    def sendto(self, data: Any, addr: Any = None) -> None:
        try:
            self._sock.sendto(data, addr)
        except BlockingIOError:
            pass
        except OSError as error:
            self._protocol.error_received(error)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._resting is None:
            self._loop.remove_reader(self._sock)
        else:
            self._resting.cancel()
        self._loop.call_soon(self._closed)

    def abort(self) -> None:
        self.close()

    def _closed(self) -> None:
        self._sock.close()
        self._protocol.connection_lost(None)

    def _read(self) -> None:
        """Then rest; or, where nothing had come, wait for the next."""
        count = self._take()
        if count:
            if self._resting is None:
                self._loop.remove_reader(self._sock)
            self._resting = self._loop.call_later(0.0 if count == BATCH_MAX else REST_S, self._read)
        elif self._resting is not None:
            self._resting = None
            self._loop.add_reader(self._sock, self._read)

    def _take(self) -> int:
        """How many there were, up to the limit."""
        take, received = self._sock.recvfrom, self._protocol.datagram_received
        for count in range(BATCH_MAX):
            try:
                data, peer = take(DATAGRAM_MAX_BYTES + 1)  # one byte tells that it is too long
            except BlockingIOError:
                return count
            except OSError as error:
                self._protocol.error_received(error)
                return count
            received(data, peer)
        return BATCH_MAX
