"""What every client door shares: the dispatcher, limits, keys, who the tenant is, and the open connections."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from balancer.admission.keys import KeyTable
from balancer.doors.addresses import is_loopback
from balancer.errors import Failure, invalid_api_key
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.recording import record_of_refusal
from balancer.request import Request
from balancer.wire.limits import PIPELINED_MAX_BYTES, UNFINISHED_MAX_BYTES

LOCAL_TENANT = "local"
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
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
    @property
    def unsent(self) -> bool:
        """Part of an answer waits for the client to read."""

    def keep_alive(self) -> None:
        """Called twice a second."""

    def drained(self) -> None:
        """The daemon stops: close as soon as nothing runs here."""


class Clients:
    """The client side of the daemon."""

    def __init__(
        self, dispatcher: Dispatcher, limits: ClientLimits, new_id: Callable[[], str], keys: KeyTable | None = None
    ) -> None:
        self.dispatcher = dispatcher
        self.limits = limits
        self.new_id = new_id
        self.keys = keys
        """``None``: nobody needs one. A reload puts another table here; it holds from the next request on."""
        self.explains = False
        """Everybody may ask why a request went where it went."""
        self.unfinished_bytes = 0
        """What all connections have sent of requests that have not ended."""
        self._open: dict[OpenConnection, None] = {}

    def authenticate(self, peer: str, key: bytes | None) -> str | Failure:
        """The tenant of a request from this address with this key (``None``: it brought none), or a refusal.

        Where keys are in use, only this machine may come without one. A wrong key is refused from there, too: who
        sends one means to be somebody, and must not get another tenant's cache and limits instead.
        """
        if self.keys is None:
            return LOCAL_TENANT
        if key is None:
            tenant = LOCAL_TENANT if is_loopback(peer) else None
        else:
            found = self.keys.find(key)
            tenant = found.name if found is not None else None
        if tenant is None:
            self.dispatcher.counts["unauthenticated"] += 1
            return invalid_api_key()
        return tenant

    def refused(self, id: str, failure: Failure, tenant: str = "") -> None:
        """A request that came to no exchange: those who keep count hear of it all the same. ``id`` names it in logs."""
        record = record_of_refusal(Request(id, tenant, "", {}, 0), failure)
        for observer in self.dispatcher.observers:
            observer(record)

    def may_explain(self, peer: str, tenant: str) -> bool:
        """Whether a request of this tenant from this address may tell who is in the pool: all may or, else, this
        machine without a key, which may ask the admin port as well."""
        return self.explains or (tenant == LOCAL_TENANT and is_loopback(peer))

    def weight_of(self, tenant: str) -> float:
        """The tenant's share where tenants compete."""
        return self.keys.weight_of(tenant) if self.keys is not None else 1.0

    def id_for(self, headers: dict[bytes, bytes]) -> str:
        """The client's own name of a request if it can stand in logs and headers, else a new one."""
        given = headers.get(b"x-request-id")
        return given.decode() if given is not None and _SANE_ID.fullmatch(given) else self.new_id()

    def opened(self, connection: OpenConnection) -> None:
        self._open[connection] = None

    def closed(self, connection: OpenConnection) -> None:
        self._open.pop(connection, None)

    @property
    def connections(self) -> int:
        return len(self._open)

    @property
    def unsent(self) -> bool:
        """Some client has not read all of its answers."""
        return any(connection.unsent for connection in self._open)

    def keep_alive(self) -> None:
        for connection in list(self._open):
            connection.keep_alive()

    def drain(self) -> None:
        for connection in list(self._open):
            connection.drained()


class Unfinished:
    """What one connection has sent of a request that has not ended; all of them together have a bound."""

    __slots__ = ("_clients", "held_bytes")

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> bool:
        """It is so much now; 0 once the request has ended. False: there is no room for it, and it must be refused."""
        clients, before = self._clients, self.held_bytes
        self.held_bytes = size_bytes
        clients.unfinished_bytes += size_bytes - before
        return size_bytes <= max(before, PIPELINED_MAX_BYTES) or clients.unfinished_bytes <= UNFINISHED_MAX_BYTES
