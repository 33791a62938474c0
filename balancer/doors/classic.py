"""The classic door: clients and backends of the text protocol, on the same port as everybody else.

There is no framing: each read is one message. Classic peers can prove nothing, so they are served from this machine
or from the networks that the operator names, as a tenant of their own.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections import deque
from collections.abc import Collection
from typing import cast

from balancer.doors.addresses import IPNetwork, inside, is_loopback, parse_ip, why_not_dial
from balancer.doors.agents import Agents
from balancer.doors.asking import make_request
from balancer.doors.clients import Clients
from balancer.errors import Failure
from balancer.exchange.exchange import Exchange
from balancer.exchange.ports import Outcome
from balancer.pool.backend import CLASSIC_MODEL, BackendSpec, ModelInfo
from balancer.pool.transition import Refused
from balancer.tasks import spawn
from balancer.wire import classic
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data

TENANT = "classic"
SLOTS = 1
"""A classic backend works on one prompt at a time."""
HELLO_MAX_BYTES = 512


class ClassicConnection(asyncio.Protocol):
    """Reads the hello and becomes the side that it names."""

    def __init__(self, clients: Clients, agents: Agents, allowed: Collection[IPNetwork]) -> None:
        self._clients = clients
        self._agents = agents
        self._allowed = allowed
        self._transport: asyncio.Transport | None = None
        self._hello = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        self._hello += data
        peer = transport.get_extra_info("peername")[0]
        if not (is_loopback(peer) or inside(parse_ip(peer), self._allowed)):
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
        assert transport is not None
        transport.set_protocol(side)
        side.connection_made(transport)
        if rest:
            side.data_received(rest)


class ClassicClient(asyncio.Protocol):
    """One client: a read is a prompt, its answer one write. Prompts that come early wait their turn."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[bytes] = deque()
        self._exchange: Exchange | None = None
        self._busy = False
        self._closing = False
        self._write_timer: asyncio.TimerHandle | None = None
        self._text: list[str] = []

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
        self._write_timer = asyncio.get_running_loop().call_later(self._clients.limits.write_s, self._abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()

    def keep_alive(self) -> None:
        """Plain text has no room for it."""

    def drained(self) -> None:
        self._closing = True
        if not self._busy and self._transport is not None:
            self._transport.close()

    # --- prompts

    def _next(self) -> None:
        if not self._waiting or self._transport is None:
            self._busy = False
            if self._closing and self._transport is not None:
                self._transport.close()
            return
        self._busy = True
        self._text = []
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

    def queued(self, position: int) -> None:
        """Plain text has no word for it."""

    def events(self, events: bytes) -> None:
        for data in event_data(events):
            if data != b"[DONE]":
                self._text += [chunk_text(choice) for choice in parse_chunk(data).choices if choice.index == 0]

    def done(self, outcome: Outcome) -> None:
        # An empty answer would be no write at all, and the client would wait for ever.
        self._answer("".join(self._text).encode("utf-8", "replace") or b"\n")

    def failed(self, failure: Failure) -> None:
        self._answer(classic.error_message(failure.message))


class ClassicBackend(asyncio.Protocol):
    """One backend's registration; its heartbeats follow on the same connection, whose end is a leave."""

    def __init__(self, agents: Agents, allowed: Collection[IPNetwork]) -> None:
        self._agents = agents
        self._allowed = allowed
        self._transport: asyncio.Transport | None = None
        self._input = b""
        self._registering = False
        self._lease_id: int | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._input += data
        if len(self._input) > HELLO_MAX_BYTES:
            self._drop("more bytes than the protocol has")
        elif self._lease_id is not None:
            self._beats()
        elif not self._registering:
            self._register()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._lease_id is not None:
            self._agents.left(self._lease_id, self)

    # --- messages

    def _register(self) -> None:
        try:
            host, port, self._input = classic.parse_register(self._input)
        except RemoteProtocolError as error:
            self._refuse(error.message)
            return
        self._registering = True
        spawn(self._resolve(host, port), name=f"register classic {host}:{port}")

    async def _resolve(self, host: str, port: int) -> None:
        if self._transport is None:
            return
        peer = self._transport.get_extra_info("peername")[0]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            address = parse_ip(str(found[0][4][0]))
        except (OSError, ValueError) as error:
            self._refuse(f"{host}: {error}")
            return
        # A server that listens everywhere tends to register just that.
        target = peer if address.is_unspecified else str(address)
        agents = self._agents
        refusal = why_not_dial(
            target, port, peer=peer, allowed=self._allowed, own_port=agents.own_port, own_hosts=agents.own_hosts
        )
        if refusal is not None:
            self._refuse(refusal)
        elif self._transport is not None:
            self._enter(target, port)

    def _enter(self, host: str, port: int) -> None:
        spec = BackendSpec(
            name=f"classic-{host}:{port}",
            kind="classic",
            host=host,
            port=port,
            models=(ModelInfo(CLASSIC_MODEL),),
            endpoints=frozenset({"completions"}),
            slots=SLOTS,
            engine="classic",
            instance=uuid.uuid4().hex,
            max_prompt_bytes=classic.PROMPT_MAX_BYTES,
        )
        found = self._agents.register(spec, b"", self)
        if isinstance(found, Refused):
            self._refuse(found.message)
            return
        self._lease_id = found.lease_id
        if self._transport is not None:
            self._transport.write(classic.REGISTERED)
        self._beats()

    def _beats(self) -> None:
        """Whatever part of a beat is left over waits for the rest of it."""
        assert self._lease_id is not None
        try:
            beats = classic.beats_in(self._input)
        except RemoteProtocolError as error:
            self._drop(error.message)
            return
        if beats:
            self._input = b""
            self._agents.heard(self._lease_id)

    def _refuse(self, message: str) -> None:
        if self._transport is not None:
            peer = self._transport.get_extra_info("peername")[0]
            self._agents.refused(peer, "a classic backend", "classic", message)
            self._transport.write(classic.INVALID_REGISTER)
            self._transport.close()

    def _drop(self, why: str) -> None:
        if self._transport is not None:
            peer = self._transport.get_extra_info("peername")[0]
            self._agents.refused(peer, "a classic backend", "classic_garbage", why)
            self._transport.abort()

    # --- AgentLink

    def drain(self, draining: bool) -> None:
        """A classic backend has no word for it; it simply gets no more prompts."""

    def superseded(self) -> None:
        self._lease_id = None
        if self._transport is not None:
            self._transport.abort()

    def expired(self) -> None:
        self.superseded()
