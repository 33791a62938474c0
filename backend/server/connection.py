"""One client's connection: requests one after the other, deadlines, and what happens when the client leaves."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol, cast

from backend.errors import BackendError
from backend.server.exchange import Exchange, error_response
from backend.server.params import BODY_MAX_BYTES
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import CONTINUE, HttpRequest, RequestDecoder, response
from balancer.wire.limits import PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES
from balancer.wire.openai import error_body

HEAD_S: Final = 10.0
BODY_S: Final = 60.0
IDLE_S: Final = 120.0
WRITE_S: Final = 30.0
LINGER_S: Final = 2.0
"""For a refused client to read why: closing while it still sends would reset the connection under our answer."""


class Service(Protocol):
    """The server behind a connection."""

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def answer(self, request: HttpRequest, connection: Connection) -> Exchange | bytes:
        """Begin an exchange, or answer at once. Raises `BackendError`."""


class Connection(asyncio.Protocol):
    """Implements `Client`. Reading never pauses: a paused transport would not tell that the client left."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._decoder = RequestDecoder(BODY_MAX_BYTES)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._answering: HttpRequest | None = None
        self._queue: deque[HttpRequest] = deque()
        self._pipelined_bytes = 0
        self._idle_limit_s = HEAD_S  # who connects owes a first request; later ones may take their time
        self._waiting_since = time.monotonic()
        self._unwritable_since: float | None = None
        self._refused_at: float | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._transport.set_write_buffer_limits(high=UNSENT_MAX_BYTES)
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._leave()
        self._service.closed(self)

    def eof_received(self) -> bool:
        """A closed sending side means that the client left."""
        self._leave()
        return False

    def pause_writing(self) -> None:
        self._unwritable_since = time.monotonic()

    def resume_writing(self) -> None:
        self._unwritable_since = None

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None:
            return
        if self._answering is not None:
            self._pipelined_bytes += len(data)
            if self._pipelined_bytes > PIPELINED_MAX_BYTES:
                self.abort()
                return
        was_in_message, was_in_body = self._decoder.in_message, self._decoder.in_body
        try:
            requests = self._decoder.feed(data)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        if self._decoder.wants_continue and not was_in_body:
            self.write(CONTINUE)
        if requests or was_in_message != self._decoder.in_message or was_in_body != self._decoder.in_body:
            self._waiting_since = time.monotonic()
        if requests:
            self._idle_limit_s = IDLE_S
        self._queue.extend(requests)
        self._next()

    # --- Client

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def answered(self, *, keep_alive: bool) -> None:
        answering, self._answering, self._exchange = self._answering, None, None
        self._waiting_since = time.monotonic()
        if not keep_alive or answering is None or not answering.keep_alive:
            self.close()
        else:
            asyncio.get_running_loop().call_soon(self._next)  # not from within: answers could nest without end

    # --- the server

    def close(self) -> None:
        """Close once what is written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def enforce_deadlines(self, now: float) -> None:
        """Close what waits too long; called about once a second."""
        if self._unwritable_since is not None and now - self._unwritable_since > WRITE_S:
            self.abort()
        elif self._refused_at is not None:
            if now - self._refused_at > LINGER_S:
                self.abort()
        elif self._answering is None:
            waited_s = now - self._waiting_since
            in_body, in_message = self._decoder.in_body, self._decoder.in_message
            if waited_s > (BODY_S if in_body else HEAD_S if in_message else self._idle_limit_s):
                if in_message:
                    self._refuse(RemoteProtocolError("request_timeout", "the request came too slowly", status=408))
                else:
                    self.close()

    # --- inside

    def _next(self) -> None:
        """Answer the next request, if none is being answered."""
        while self._answering is None and self._queue and self._transport is not None:
            if self._transport.is_closing():
                return
            self._answering = request = self._queue.popleft()
            try:
                answer = self._service.answer(request, self)
            except BackendError as error:
                answer = error_response(error, keep_alive=request.keep_alive)
            if isinstance(answer, Exchange):
                self._exchange = answer
                return
            self.write(answer)
            self._answering = None
            self._waiting_since = time.monotonic()
            if not request.keep_alive:
                self.close()
        if self._answering is None:
            self._pipelined_bytes = 0

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Answer bytes that are no request, then close: what follows them has no defined meaning."""
        if self._answering is not None:
            self.abort()
            return
        body = error_body(error.message, "invalid_request_error", error.code)
        self._refused_at = time.monotonic()
        self.write(response(error.status, body, keep_alive=False))
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def _leave(self) -> None:
        self._queue.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
