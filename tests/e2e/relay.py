"""A way to the balancer on which TCP passes and UDP does not, as behind many a firewall."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

_READ_BYTES: Final = 1 << 16


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

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", to_port)
        with suppress(OSError):
            await asyncio.gather(_pass_on(reader, onward), _pass_on(onward_reader, writer))
        onward.close()
        writer.close()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        relay.port = udp.getsockname()[1]
        server = await asyncio.start_server(forward, "127.0.0.1", relay.port)
        if not swallow:
            udp.close()
            transport = None
        else:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Swallow(relay), sock=udp)
        try:
            yield relay
        finally:
            if transport is not None:
                transport.close()
            server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
