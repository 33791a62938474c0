"""What every client door shares: the dispatcher, limits, who the tenant is, and the open connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from balancer.exchange.dispatcher import Dispatcher

LOCAL_TENANT = "local"
LINGER_S = 2.0
"""After a refusal that ends a connection its input is read away so long: closing with input unread is a reset, and a
client that is still sending might never see why."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How long a client may take, in seconds."""

    write_s: float = 30.0
    """To read what was written to it."""
    line_s: float = 10.0
    """To finish a line or an HTTP head it has begun."""
    body_s: float = 60.0
    """To finish an HTTP body."""
    idle_s: float = 75.0
    """Between two HTTP requests on one connection."""


class OpenConnection(Protocol):
    def keep_alive(self) -> None:
        """Called twice a second."""

    def drained(self) -> None:
        """The daemon stops: close as soon as nothing runs here."""


class Clients:
    """The client side of the daemon."""

    def __init__(self, dispatcher: Dispatcher, limits: ClientLimits, new_id: Callable[[], str]) -> None:
        self.dispatcher = dispatcher
        self.limits = limits
        self.new_id = new_id
        self._open: dict[OpenConnection, None] = {}

    def tenant_of(self, transport: asyncio.Transport) -> str:
        """Whose requests come in on this connection; without keys all of them are the local tenant's."""
        return LOCAL_TENANT

    def opened(self, connection: OpenConnection) -> None:
        self._open[connection] = None

    def closed(self, connection: OpenConnection) -> None:
        self._open.pop(connection, None)

    @property
    def connections(self) -> int:
        return len(self._open)

    def keep_alive(self) -> None:
        for connection in list(self._open):
            connection.keep_alive()

    def drain(self) -> None:
        for connection in list(self._open):
            connection.drained()
