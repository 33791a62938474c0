"""One small GET at an engine, on the connections that requests use, too."""

from __future__ import annotations

import asyncio

from balancer.pool.backend import BackendSpec
from balancer.upstream.connection import Address, Connection, ConnectionPool
from balancer.wire import http1


class FetchError(Exception):
    """The engine did not answer as it should; the text says how."""


class Denied(FetchError):
    """It answered that it does not answer this: asking again soon is of no use."""


class NotThere(Denied):
    """It has nothing at this path, or nothing of a sane size."""


class NotAsked(FetchError):
    """It was not even dialled, for want of something on this side."""


async def fetch(connections: ConnectionPool, spec: BackendSpec, path: str, max_bytes: int) -> bytes:
    """The body of ``GET path``. Raises `FetchError`; has no time limit of its own."""
    headers = (("authorization", spec.authorization),) if spec.authorization else ()
    request = http1.request("GET", spec.path_prefix + path, spec.host_header, b"", headers)
    asking = _Fetch(connections, Address.of(spec), request, max_bytes, asyncio.get_running_loop().create_future())
    asking.start()
    try:
        status, body = await asking.answer
    finally:
        asking.abandon()
    if status in (404, 405, 501):
        raise NotThere(f"{path} answered {status}")
    if 400 <= status < 500:
        raise Denied(f"{path} answered {status}")
    if status != 200:
        raise FetchError(f"{path} answered {status}")
    return body


class _Fetch:
    """The user of a connection for one GET."""

    def __init__(
        self,
        connections: ConnectionPool,
        address: Address,
        request: bytes,
        max_bytes: int,
        answer: asyncio.Future[tuple[int, bytes]],
    ) -> None:
        self.answer = answer
        self._connections = connections
        self._address = address
        self._request = request
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._connection: Connection | None = None

    def start(self) -> None:
        connection = self._connections.acquire(self._address, self)
        if connection is not None:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        if self.answer.done():
            connection.abort()
            return
        self._connection = connection
        connection.use(self, self._request)

    def unreachable(self, why: str, *, ours: bool = False) -> None:
        self._fail(NotAsked(why) if ours else FetchError(why))

    def received(self, body: bytes) -> None:
        assert self._connection is not None
        self._parts.append(body)
        self._size_bytes += len(body)
        if self._size_bytes > self._max_bytes:
            self._fail(NotThere(f"an answer of more than {self._max_bytes >> 20} MiB"))
        elif self._connection.answer.complete and not self.answer.done():
            connection, self._connection = self._connection, None
            self.answer.set_result((connection.answer.status, b"".join(self._parts)))
            connection.release()

    def lost(self, why: str, *, unused: bool) -> None:
        self._connection = None
        if unused and not self.answer.done():
            # The engine had closed this idle connection: that says nothing of its health.
            self._connections.acquire(self._address, self, fresh=True)
        else:
            self._fail(FetchError(why))

    def abandon(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _fail(self, error: FetchError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
