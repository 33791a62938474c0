"""The UDP side of heartbeats: asyncio-dgram in, acknowledgements out, nothing kept."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncio_dgram

from balancer.doors.agents import Agents
from balancer.doors.datagrams import bind

log = logging.getLogger("balancer.heartbeats")


class HeartbeatDoor:
    """Reads all that is there before the loop turns: so the library's receive queue, which has no bound of its own,
    never holds more than the transport reads at once."""

    def __init__(
        self,
        stream: asyncio_dgram.DatagramServer,
        transport: asyncio.DatagramTransport,
        received: asyncio.Queue[Any],
        agents: Agents,
    ) -> None:
        self._stream = stream
        self._transport = transport
        self._received = received
        self._agents = agents

    @classmethod
    async def open(cls, host: str, port: int, agents: Agents) -> HeartbeatDoor:
        """Bind; raises `OSError` if the port is taken."""
        return cls(*await bind(host, port), agents)

    async def run(self) -> None:
        """Serve until the socket is closed."""
        while True:
            try:
                datagram, peer = await self._stream.recv()
            except asyncio_dgram.TransportClosed:
                return
            except OSError as error:  # what an earlier acknowledgement met: an address that is not there, and such
                log.debug("heartbeats: %s", error)
                continue
            self._heard(datagram, peer)
            while not self._received.empty():  # at a third of what awaiting each would cost
                datagram, peer = self._received.get_nowait()
                if datagram is None:
                    return
                self._heard(datagram, peer)

    def _heard(self, datagram: bytes, peer: Any) -> None:
        try:
            acknowledgement = self._agents.beat(datagram, "udp")
        except Exception:
            log.exception("a beat")  # whatever it was, the beats of all the others must still be heard
            return
        if acknowledgement is not None:
            self._transport.sendto(acknowledgement, peer)  # which, unlike the stream's send, waits for nothing

    def close(self) -> None:
        self._stream.close()


async def free_port(host: str) -> int:
    """A port that is free for TCP and UDP now, for ``--port 0``."""
    for _ in range(20):
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, 0)
        port = int(server.sockets[0].getsockname()[1])
        server.close()
        try:
            stream = await asyncio_dgram.bind((host, port))
        except OSError:
            continue
        stream.close()
        return port
    raise OSError("no port is free for TCP and UDP at once")
