"""Clients that speak TLS: asyncio's own, and one through whose hands each encrypted byte passes."""

from __future__ import annotations

import asyncio
import ssl

from balancer.doors.clients import ClientLimits
from tests.balancer.doors.lobby import Lobby, Visitor


def tls_lobby(context: ssl.SSLContext, limits: ClientLimits | None = None) -> Lobby:
    lobby = Lobby(limits=limits)
    lobby.doors.tls = context
    lobby.hall.join("a")
    return lobby


async def secretly(lobby: Lobby, trusting: ssl.SSLContext, *first: object) -> Visitor:
    """A visitor who speaks TLS."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", lobby.port, ssl=trusting, server_hostname="localhost", limit=1 << 22
    )
    visitor = Visitor(reader, writer)
    lobby._visitors.append(visitor)
    visitor.send(*first)
    return visitor


class Spy:
    """A TLS client by hand: each encrypted byte passes through the test."""

    def __init__(self, visitor: Visitor, trusting: ssl.SSLContext) -> None:
        self.visitor = visitor
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def encrypted(self, data: bytes = b"") -> bytes:
        """``data``, and whatever else TLS wants to send, as it goes over the wire."""
        if data:
            self.tls.write(data)
        return self._outgoing.read()

    async def shake_hands(self, split: int = 1 << 14) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send(split)
                self._incoming.write(await self.visitor.some())
        await self._send(split)

    async def _send(self, split: int) -> None:
        data = self.encrypted()
        for at in range(0, len(data), split):
            self.visitor.send(data[at : at + split])
            await self.visitor.writer.drain()
            await asyncio.sleep(0)

    async def some(self) -> bytes:
        """What is decrypted next; empty after a close_notify. Raises `AssertionError` if the connection just ends."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                received = await self.visitor.some()
                assert received, "no close_notify"
                self._incoming.write(received)

    def say_end(self) -> None:
        """A close_notify; the TCP connection stays open."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            self.visitor.send(self.encrypted())


async def a_spy(lobby: Lobby, trusting: ssl.SSLContext, split: int = 1 << 14) -> Spy:
    spy = Spy(await lobby.visit(), trusting)
    await spy.shake_hands(split)
    return spy
