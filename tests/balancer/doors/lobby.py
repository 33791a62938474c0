"""All doors on a loopback port, with fake backends behind them; and a plain socket client to knock with."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from balancer import tasks
from balancer.corking import Cork
from balancer.doors.addresses import IPNetwork
from balancer.doors.admin import AdminDoor
from balancer.doors.agents import Agents
from balancer.doors.changes import OperatorChanges
from balancer.doors.classic import ClassicConnection
from balancer.doors.clients import ClientLimits, Clients
from balancer.doors.control import ControlConnection
from balancer.doors.health import Health
from balancer.doors.http import HttpConnection
from balancer.doors.listener import Doors, Sniffer
from balancer.doors.native import NativeConnection
from balancer.doors.openai import OpenAIDoor
from balancer.embeddings import OwnEmbeddings
from balancer.errors import ConfigError
from balancer.pool.detector import PROBED
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.watch import Watch
from tests.balancer.upstream.encoder import FakeEncoder
from tests.fakes import Hall


class Visitor:
    """One connection to a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: object) -> None:
        """Bytes as they are, anything else as a JSON line."""
        for part in parts:
            self.writer.write(part if isinstance(part, bytes) else json.dumps(part).encode() + b"\n")

    async def line(self) -> dict[str, Any]:
        """The next line that is not blank."""
        async with asyncio.timeout(10):
            while True:
                line = await self.reader.readline()
                assert line, "the connection closed"
                if line.strip():
                    found: dict[str, Any] = json.loads(line)
                    return found

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(size)

    async def some(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read(1 << 16)

    async def rest(self) -> bytes:
        """Until the other side closes."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def leave(self) -> None:
        """Be gone at once: a reset, which is not to be taken for the end of the input."""
        sock = self.writer.get_extra_info("socket")
        if not self.writer.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def _nothing_to_read() -> dict[str, Any]:
    raise ConfigError("there is nothing to read")


class Lobby:
    """The doors' side of a daemon."""

    def __init__(
        self,
        *,
        limits: ClientLimits | None = None,
        token: bytes | None = None,
        insecure: bool = False,
        networks: tuple[IPNetwork, ...] = (),
        classic_from: tuple[IPNetwork, ...] = (),
        embedder: FakeEncoder | None = None,
        reload: Callable[[], Awaitable[dict[str, Any]]] | None = None,
        **hall: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.hall = Hall(clock=loop, **hall)
        ids = itertools.count()
        self.clients = Clients(self.hall.dispatcher, limits or ClientLimits(), lambda: f"{next(ids):024x}")
        nonces = itertools.count(1)
        self.agents = Agents(
            self.hall.registry,
            loop,
            lambda size: next(nonces).to_bytes(size, "big"),
            pool_changed=self.hall.dispatcher.pool_changed,
            token=token,
            insecure=insecure,
            networks=networks,
            own_port=0,
            own_hosts=("127.0.0.1",),
            beat_s=1.0,
            deadline_s=3.5,
        )
        dispatcher = self.hall.dispatcher
        self.own = OwnEmbeddings(embedder, "all-MiniLM-L6-v2", dispatcher, random.Random(0)) if embedder else None
        health = Health(dispatcher, 1_800_000_000)
        public = OpenAIDoor(self.clients, health, self.own)
        cork = Cork(loop.call_soon)
        self.connections = ConnectionPool(cork=cork)
        self.watch = Watch(
            self.hall.registry, self.connections, loop, self.agents.apply, dispatcher.pool_changed, PROBED
        )
        changes = OperatorChanges(self.hall.registry, self.watch, reload or _nothing_to_read)
        self.admin = AdminDoor(dispatcher, self.agents, self.clients, "1.2.3", health=health, changes=changes)
        self.doors = Doors(
            native=lambda: NativeConnection(self.clients, lambda: ControlConnection(self.agents), cork),
            http=lambda: HttpConnection(self.clients, public.answer, cork, public.refuses),
            classic=lambda: ClassicConnection(self.clients, self.agents, classic_from),
            new_id=self.clients.new_id,
        )
        self.port = 0
        self.admin_port = 0
        self._visitors: list[Visitor] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Lobby]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Sniffer(self.doors), "127.0.0.1", 0)
        admin = await loop.create_server(lambda: HttpConnection(self.clients, self.admin.answer), "127.0.0.1", 0)
        self.port = self.agents.own_port = server.sockets[0].getsockname()[1]
        self.admin_port = admin.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            admin.close()
            for visitor in self._visitors:
                visitor.leave()
            await tasks.cancel_all()
            self.connections.close()
            await self.until(lambda: self.clients.connections == 0)

    async def visit(self, *first: object, admin: bool = False) -> Visitor:
        port = self.admin_port if admin else self.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        visitor = Visitor(reader, writer)
        self._visitors.append(visitor)
        visitor.send(*first)
        return visitor

    async def until(self, right: Callable[[], object]) -> None:
        """Until what the other side must do is done."""
        async with asyncio.timeout(10):
            while not right():
                await asyncio.sleep(0.001)

    async def calls(self, count: int) -> None:
        """Until so many requests have come to a backend."""
        await self.until(lambda: len(self.hall.calls) >= count)
