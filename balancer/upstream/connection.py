"""Connections to engines: dialled when needed, kept while they are good, one request at a time on each."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import NamedTuple, Protocol, cast
from urllib.parse import urlsplit

from balancer.corking import Cork
from balancer.pool.backend import BackendSpec
from balancer.tasks import spawn
from balancer.upstream.shortage import Shortage
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import ResponseDecoder

IDLE_PER_ADDRESS_MAX = 64
IDLE_MAX_S = 4.0
"""Less than an engine's own limit, so that it is rarely the engine who closes: uvicorn's is 5 s (vLLM, SGLang)."""
CONNECT_S = 2.0
FINISH_S = 5.0
"""After its last event an answer's framing must end within this, or the connection is not kept."""
LATE_S = 0.25
"""A timer of this process that comes later than this tells of nobody else's lateness."""


class Address(NamedTuple):
    """Where to dial; ``server_name`` is what the certificate must name."""

    host: str
    port: int
    tls: bool = False
    server_name: str = ""

    @classmethod
    def of(cls, spec: BackendSpec) -> Address:
        """Where a backend is dialled; its certificate must name what its URL named."""
        server_name = (urlsplit(f"//{spec.host_header}").hostname or "") if spec.tls else ""
        return cls(spec.host, spec.port, spec.tls, server_name)


class User(Protocol):
    """Who uses a connection for one request."""

    def connected(self, connection: Connection) -> None: ...

    def unreachable(self, why: str, *, ours: bool = False) -> None:
        """There is no connection. ``ours``: for want of something on this side, which says nothing of the engine."""

    def received(self, body: bytes) -> None:
        """Body bytes, possibly none; the head is in ``connection.answer``."""

    def lost(self, why: str, *, unused: bool) -> None:
        """The connection broke. ``unused``: it was a kept one and gave not a byte, so it had died before."""


class Connection(asyncio.Protocol):
    """One connection. It belongs to its user until the answer is complete, then goes back to the pool."""

    def __init__(self, connections: ConnectionPool, address: Address) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._user: User | None = None
        self._kept = False
        self._heard = False
        self._paused = False
        self._held = b""
        """A request that is held back until the turn ends."""
        self.loop: asyncio.AbstractEventLoop
        self._finish_timer: asyncio.TimerHandle | None = None
        self.address = address
        self.idle_since = 0.0
        self.answer = ResponseDecoder(max_body_bytes=None)

    def use(self, user: User, request: bytes) -> None:
        """Send a request for this user."""
        assert self._transport is not None
        self._user = user
        self._heard = False
        self.answer.next()
        cork = self._connections.cork
        if cork is None:
            self._transport.write(request)
        else:
            self._held = request
            cork.hold(self)

    def flush(self) -> None:
        """Let go what is held back."""
        request, self._held = self._held, b""
        if request and self._transport is not None and not self._transport.is_closing():
            self._transport.write(request)

    def release(self) -> None:
        """The user has all it wants. What is left of the answer is read away; a broken connection is not kept."""
        self._user = None
        if self._transport is None:
            return
        self.resume()
        if self.answer.complete:
            self._done()
        else:
            self._finish_timer = self.loop.call_later(FINISH_S, self.abort)

    def abort(self) -> None:
        """Close now: over HTTP/1.1 the only way to tell an engine to stop."""
        self._user = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _done(self) -> None:
        if self._finish_timer is not None:
            self._stop_timer()
        transport = self._transport
        if transport is None:
            return
        if self._held or transport.get_write_buffer_size():
            transport.abort()  # answered before all was read: whoever asked next would stand behind the rest
        elif self.answer.keep_alive and not transport.is_closing():
            self._kept = True
            self._connections.keep(self)
        else:
            transport.close()

    def _stop_timer(self) -> None:
        if self._finish_timer is not None:
            self._finish_timer.cancel()
            self._finish_timer = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self.idle_since:
            self.abort()  # an engine that talks without being asked
            return
        try:
            body = self.answer.feed(data)
        except RemoteProtocolError as error:
            user = self._user
            self.abort()
            if user is not None:
                user.lost(error.message, unused=False)
            return
        if self._user is not None:
            if self.answer.status:
                self._user.received(body)
        elif self.answer.complete:
            self._done()

    def eof_received(self) -> bool:
        return False  # close

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._stop_timer()
        self._connections.forget(self)
        user, self._user = self._user, None
        if user is None:
            return
        if self.answer.complete or (exc is None and self.answer.ends_at_eof()):
            self.answer.complete = True
            user.received(b"")
        else:
            user.lost(str(exc or "connection closed"), unused=self._kept and not self._heard)


class ConnectionPool:
    """Idle connections by address: last in, first out, bounded in number and age."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, connect_s: float = CONNECT_S, cork: Cork | None = None
    ) -> None:
        self.cork = cork
        self._idle: dict[Address, deque[Connection]] = {}
        self._tls = tls
        self._connect_s = connect_s
        self._shortage = Shortage()

    def acquire(self, address: Address, user: User, *, fresh: bool = False) -> Connection | None:
        """An idle connection, or ``None``: then one is dialled and ``user.connected`` or ``unreachable`` called."""
        idle = self._idle.get(address)
        while idle and not fresh:
            connection = idle.pop()
            if connection.usable:
                connection.idle_since = 0.0
                return connection
        spawn(self._dial(address, user), name=f"dial {address.host}:{address.port}")
        return None

    async def _dial(self, address: Address, user: User, *, again: bool = True) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            tls = self._tls_context() if address.tls else None
            async with asyncio.timeout(self._connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, address),
                    address.host,
                    address.port,
                    ssl=tls,
                    server_hostname=address.server_name if tls else None,
                )
        except TimeoutError:
            if again and loop.time() - began > self._connect_s + LATE_S:  # this process stood still, not the other one
                await self._dial(address, user, again=False)
            else:
                user.unreachable(f"no connection within {self._connect_s:g} s")
        except OSError as error:
            ours = self._shortage.explains(error, address.host, loop.time())
            user.unreachable(_in_words(error), ours=ours)
        except ValueError as error:  # a name that no certificate can have
            user.unreachable(str(error))
        else:
            if connection.usable:
                user.connected(connection)
            else:
                user.unreachable("it closed at once")

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()  # reads the system's certificates: once, not for every dial
        return self._tls

    def keep(self, connection: Connection) -> None:
        """Take back a connection that is ready for another request."""
        idle = self._idle.get(connection.address)
        if idle is None:
            idle = self._idle[connection.address] = deque()
        connection.idle_since = connection.loop.time()
        idle.append(connection)
        if len(idle) > IDLE_PER_ADDRESS_MAX:
            idle.popleft().abort()

    def forget(self, connection: Connection) -> None:
        """It closed."""
        idle = self._idle.get(connection.address)
        if idle is not None and connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[connection.address]

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long."""
        for address, idle in list(self._idle.items()):
            for connection in [c for c in idle if now - c.idle_since > IDLE_MAX_S]:
                connection.abort()
            if not idle:
                del self._idle[address]

    def close(self) -> None:
        for idle in list(self._idle.values()):
            for connection in list(idle):
                connection.abort()

    @property
    def idle(self) -> int:
        return sum(map(len, self._idle.values()))


def _in_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}"
    return error.strerror or str(error)
