"""The classic door: clients and backends of the text protocol, on the same port as everybody else.

There is no framing: each read is one message. Classic peers can prove nothing, so they are served from this machine
or from the networks that the operator names, as a tenant of their own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import cast

from balancer.doors.addresses import IPNetwork, host_of, inside, is_loopback, parse_ip
from balancer.doors.agents import Agents
from balancer.doors.asking import make_request
from balancer.doors.classic_backend import ClassicBackend
from balancer.doors.clients import Clients
from balancer.errors import Failure
from balancer.exchange.exchange import Exchange
from balancer.exchange.outcome import Opening, Outcome
from balancer.wire import classic
from balancer.wire.limits import PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data

TENANT = "classic"
HELLO_S = 10.0
ANSWER_MAX_BYTES = 1 << 20
"""An answer is gathered before it is written: a longer one is an error."""


class ClassicConnection(asyncio.Protocol):
    """Reads the hello and becomes the side that it names."""

    def __init__(self, clients: Clients, agents: Agents, allowed: Collection[IPNetwork]) -> None:
        self._clients = clients
        self._agents = agents
        self._allowed = allowed
        self._transport: asyncio.Transport | None = None
        self._hello = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HELLO_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        self._hello += data
        peer = host_of(transport.get_extra_info("peername"))
        if not may_speak(peer, self._allowed):
            transport.write(classic.error_message("the text protocol is served from this machine only"))
            transport.close()
        elif self._hello.startswith(classic.CLIENT_HELLO):
            self._become(ClassicClient(self._clients), classic.client_hello_rest(self._hello))
        elif self._hello.startswith(b"REGISTER|"):
            self._become(ClassicBackend(self._agents, self._allowed), self._hello)
        elif not classic.CLIENT_HELLO.startswith(self._hello):
            transport.write(classic.error_message("expected CLIENT|ADD"))
            transport.close()

    def _become(self, side: asyncio.Protocol, rest: bytes) -> None:
        transport, self._transport = self._transport, None
        assert transport is not None and self._timer is not None
        self._timer.cancel()
        transport.set_protocol(side)
        side.connection_made(transport)
        if rest:
            side.data_received(rest)


def may_speak(peer: str, allowed: Collection[IPNetwork]) -> bool:
    """Whether a classic peer at this address is served."""
    return is_loopback(peer) or (peer != "" and inside(parse_ip(peer), allowed))


class ClassicClient(asyncio.Protocol):
    """One client: a read is a prompt, its answer one write. Prompts that come early wait their turn."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[bytes] = deque()
        self._exchange: Exchange | None = None
        self._busy = False
        self._closing = False
        self._write_paused = False
        self._write_timer: asyncio.TimerHandle | None = None
        self._text: list[str] = []
        self._text_bytes = 0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_MAX_BYTES)
        self._clients.opened(self)

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        if sum(map(len, self._waiting)) > PIPELINED_MAX_BYTES and len(self._waiting) > 1:
            self._abort()
        elif not self._busy:
            self._next()

    def eof_received(self) -> bool:
        return False  # a classic client that closes has left

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        if self._write_timer is not None:
            self._write_timer.cancel()
        if self._exchange is not None:
            self._exchange.cancel()
        self._clients.closed(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._write_timer = asyncio.get_running_loop().call_later(self._clients.limits.write_s, self._abort)

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._write_timer is not None:
            self._write_timer.cancel()
        if not self._busy:
            self._next()

    def keep_alive(self) -> None:
        """Plain text has no room for it."""

    @property
    def unsent(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def drained(self) -> None:
        self._closing = True
        if not self._busy and self._transport is not None:
            self._transport.close()

    # --- prompts

    def _next(self) -> None:
        if not self._waiting or self._transport is None or self._write_paused:
            self._busy = False
            if self._closing and self._transport is not None:
                self._transport.close()
            return
        self._busy = True
        self._text, self._text_bytes = [], 0
        try:
            prompt = self._waiting.popleft().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            self._answer(classic.error_message("the prompt is not UTF-8"))
            return
        request = make_request({"prompt": prompt}, id=self._clients.new_id(), tenant=TENANT)
        if isinstance(request, Failure):
            self.failed(request)
            return
        exchange = self._clients.dispatcher.begin(request, self)
        self._exchange = exchange if exchange is not None and exchange.state.live else None

    def _answer(self, message: bytes) -> None:
        self._exchange = None
        if self._transport is not None:
            self._transport.write(message)
        asyncio.get_running_loop().call_soon(self._next)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- Sink

    def opened(self, opening: Opening) -> None:
        """Plain text has no word for it."""

    def resumed(self, opening: Opening) -> None:
        """The answer goes out in one piece: nobody sees a seam."""

    def whole(self, body: bytes) -> None:
        """Never asked for."""

    def queued(self, position: int) -> None:
        """Plain text has no word for it."""

    def events(self, events: bytes) -> None:
        chunks = [parse_chunk(data) for data in event_data(events) if data != b"[DONE]"]
        text = "".join(chunk_text(choice) for chunk in chunks for choice in chunk.choices if choice.index == 0)
        self._text_bytes += len(text.encode())
        if self._text_bytes > ANSWER_MAX_BYTES:
            raise ValueError("more text than one answer may have")
        self._text.append(text)

    def done(self, outcome: Outcome) -> None:
        # An empty answer would be no write at all, and the client would wait for ever.
        self._answer("".join(self._text).encode("utf-8", "replace") or b"\n")

    def failed(self, failure: Failure) -> None:
        self._answer(classic.error_message(failure.message))
