"""A way to the balancer on which TCP passes and UDP does not, as behind many a firewall."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

_READ_BYTES: Final = 1 << 16
_TRIES: Final = 20

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Relay:
    """Listens on ``port``. ``datagrams`` counts what was swallowed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.datagrams = 0


class _Swallow(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self._relay.datagrams += 1


@asynccontextmanager
async def tcp_only(to_port: int, *, swallow: bool) -> AsyncIterator[Relay]:
    """Forward TCP to ``to_port``. UDP to the relay's port is swallowed, or refused because nobody listens."""
    loop = asyncio.get_running_loop()
    relay = Relay(0)

    async def forward(reader: Reader, writer: Writer) -> None:
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", to_port)
        with suppress(OSError):
            await asyncio.gather(_pass_on(reader, onward), _pass_on(onward_reader, writer))
        onward.close()
        writer.close()

    server, udp = await _listen(forward)
    relay.port = int(udp.getsockname()[1])
    transport = None
    if swallow:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Swallow(relay), sock=udp)
    else:
        udp.close()
    try:
        yield relay
    finally:
        if transport is not None:
            transport.close()
        server.close()


async def _listen(forward: Callable[[Reader, Writer], Awaitable[None]]) -> tuple[asyncio.Server, socket.socket]:
    """A TCP server, and a UDP socket with the same port number."""
    for _ in range(_TRIES):
        server = await asyncio.start_server(forward, "127.0.0.1", 0)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        try:
            udp.bind(server.sockets[0].getsockname())
        except OSError:  # the number is free for TCP, but not for UDP
            udp.close()
            server.close()
            continue
        return server, udp
    raise AssertionError("no port is free for TCP and UDP at once")


async def _pass_on(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(_READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
