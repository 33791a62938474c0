"""An agent by hand: registers whatever a test says, beats, and keeps what it sent so that it can be sent again."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from balancer.wire import control, heartbeat
from balancer.wire.heartbeat import Beat

ANSWER_S: Final = 10.0


class RawAgent:
    """One control connection, and a UDP socket to the same port."""

    def __init__(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._port = port
        self.reader = reader
        self.writer = writer
        self.register_line = b""
        self.prove_line = b""
        self.lease: dict[str, Any] = {}
        self.key = b""
        self.sequence = 0
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def register(self, url: str, token: bytes = b"", **fields: Any) -> dict[str, Any]:
        """Register and prove: the last answer, ``{"lease":...}`` or ``{"refused":...}``."""
        message = {
            "name": "by-hand",
            "url": url,
            "models": [{"name": "echo"}],
            "endpoints": ["chat", "completions"],
            "slots": 4,
            "nonce": secrets.token_hex(16),
            "instance": "1",
            **fields,
        }
        self.register_line = control.message_line("register", message)
        self.writer.write(self.register_line)
        answer = await self.receive()
        if "challenge" not in answer:
            return answer
        nonce, line = answer["challenge"]["nonce"], self.register_line.rstrip(b"\n")
        mac = control.proof(token, nonce, line).hex() if token else ""
        self.prove_line = control.message_line("prove", {"mac": mac})
        self.writer.write(self.prove_line)
        answer = await self.receive()
        if "lease" in answer:
            self.lease = answer["lease"]
            key = self.lease.get("key")
            self.key = bytes.fromhex(key) if key else control.lease_key(token, nonce, line)
        return answer

    async def receive(self) -> dict[str, Any]:
        """The next line; ``{}`` at the end of the connection."""
        async with asyncio.timeout(ANSWER_S):
            while line := await self.reader.readline():
                if not line.isspace():
                    kind, fields = control.parse_message(line)
                    return {kind: fields}
        return {}

    def beat(self, **load: Any) -> bytes:
        """Send the next beat; the datagram."""
        self.sequence += 1
        beat = Beat(self.sequence, **{"slots": 4, **load})
        datagram = heartbeat.seal_beat(self.key, self.lease["id"], beat)
        self.send(datagram)
        return datagram

    def send(self, datagram: bytes) -> None:
        self._udp.sendto(datagram, ("127.0.0.1", self._port))

    def close(self) -> None:
        self._udp.close()
        self.writer.transport.abort()


@asynccontextmanager
async def raw_agent(port: int) -> AsyncIterator[RawAgent]:
    """Connected, not registered."""
    agent = RawAgent(port, *await asyncio.open_connection("127.0.0.1", port))
    try:
        yield agent
    finally:
        agent.close()


@asynccontextmanager
async def registered(port: int, url: str, **fields: Any) -> AsyncIterator[RawAgent]:
    """Registered, and beating twice a second until the end."""
    async with raw_agent(port) as agent:
        answer = await agent.register(url, **fields)
        assert "lease" in answer, answer
        beating = asyncio.create_task(_beat_on(agent))
        try:
            yield agent
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat_on(agent: RawAgent) -> None:
    while True:
        agent.beat()
        await asyncio.sleep(0.5)
