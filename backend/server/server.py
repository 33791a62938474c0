"""Listener, slots, the sweep of deadlines, and drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sized
from typing import Final

from backend.engines.base import Engine
from backend.errors import Busy, ShuttingDown, UnknownModel
from backend.server.connection import Connection
from backend.server.exchange import Exchange
from backend.server.routes import generation_asked, read_only_answer
from balancer.wire.http1 import HttpRequest

CONNECTIONS_MAX: Final = 1024
SWEEP_S: Final = 1.0
STOP_S: Final = 2.0
"""For cancelled exchanges to tell their clients, once the time to drain is over."""


class Server:
    """Serves one engine. Implements `Service`."""

    def __init__(self, engine: Engine, *, slots: int) -> None:
        self._engine = engine
        self._slots = slots
        self._created = int(time.time())
        self._connections: set[Connection] = set()
        self._exchanges: set[Exchange] = set()
        self._listener: asyncio.Server | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._refuses_from: float | None = None
        self._removed = asyncio.Event()  # something left one of the sets

    @property
    def running(self) -> int:
        """Slots taken."""
        return len(self._exchanges)

    async def listen(self, host: str, port: int) -> int:
        """Begin to accept; returns the port, which matters where 0 was asked for. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self._sweep_timer = loop.call_later(SWEEP_S, self._sweep)
        return int(self._listener.sockets[0].getsockname()[1])

    async def drain(self, *, grace_s: float, timeout_s: float) -> bool:
        """Let what runs finish; whether all of it did within ``timeout_s``.

        For ``grace_s`` new requests are still taken: they were on their way when the balancers heard of the drain.
        """
        now = time.monotonic()
        self._refuses_from = now + min(grace_s, timeout_s)
        await asyncio.sleep(min(grace_s, timeout_s))
        await self._empty(self._exchanges, now + timeout_s)
        return not self._exchanges

    async def close(self) -> None:
        """Stop listening, end every connection; an answer that is not complete ends in an error."""
        self._refuses_from = time.monotonic()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._listener is not None:
            self._listener.close()
        await self._engine.close()
        for connection in tuple(self._connections):
            connection.close()
        await self._empty(self._connections, time.monotonic() + STOP_S)
        for connection in tuple(self._connections):
            connection.abort()

    async def _empty(self, things: Sized, until: float) -> None:
        """Wait until nothing is left in one of our sets, or until that time."""
        while things and (left_s := until - time.monotonic()) > 0:
            self._removed.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._removed.wait()
            except TimeoutError:
                return

    # --- Service

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if len(self._connections) > CONNECTIONS_MAX:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._removed.set()

    def answer(self, request: HttpRequest, connection: Connection) -> Exchange | bytes:
        asked = generation_asked(request)
        info = self._engine.info
        if asked is None:
            return read_only_answer(request, info, self._health(), self._created)
        if asked.model is not None and asked.model != info.model:
            raise UnknownModel(f"no model {asked.model[:256]!r} here; there is {info.model!r}", param="model")
        if self._refuses_from is not None and time.monotonic() >= self._refuses_from:
            raise ShuttingDown("this backend is shutting down")
        if len(self._exchanges) >= self._slots:
            raise Busy(f"all {self._slots} slots are taken")
        exchange = Exchange(asked, info.model, connection, self._release)
        self._exchanges.add(exchange)
        exchange.submitted(self._engine.submit(asked.request, exchange))
        return exchange

    # --- inside

    def _release(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)
        self._removed.set()

    def _health(self) -> str:
        load = self._engine.load()
        if self._refuses_from is not None:
            return "draining"
        return "stuck" if load.stuck else "ok"

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.enforce_deadlines(now)
        self._sweep_timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
