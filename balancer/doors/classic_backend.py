"""A classic backend's registration, and the heartbeats that follow on the same connection."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from typing import cast

from balancer.addressing import address_of
from balancer.doors.addresses import IPNetwork, host_of, parse_ip, why_not_dial
from balancer.doors.agents import Agents
from balancer.pool.backend import CLASSIC_MODEL, BackendSpec, ModelInfo
from balancer.pool.transition import Refused
from balancer.tasks import spawn
from balancer.wire import classic
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import PIPELINED_MAX_BYTES

SLOTS = 1
"""A classic backend works on one prompt at a time."""
HELLO_MAX_BYTES = 512


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
        # While either side stood still its beats add up.
        if len(self._input) > (HELLO_MAX_BYTES if self._lease_id is None else PIPELINED_MAX_BYTES):
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
        peer = host_of(self._transport.get_extra_info("peername"))
        own = host_of(self._transport.get_extra_info("sockname"))
        try:
            address = parse_ip(await address_of(host, port))
        except (OSError, TimeoutError, ValueError) as error:
            self._refuse(f"{host}: {error}")
            return
        # A server that listens everywhere tends to register just that.
        target = peer if address.is_unspecified else str(address)
        agents = self._agents
        own_hosts = {*agents.own_hosts, own}
        refusal = why_not_dial(
            target, port, peer=peer, allowed=self._allowed, own_port=agents.own_port, own_hosts=own_hosts
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
            peer = host_of(self._transport.get_extra_info("peername"))
            self._agents.refused(peer, "a classic backend", "classic", message)
            self._transport.write(classic.INVALID_REGISTER)
            self._transport.close()

    def _drop(self, why: str) -> None:
        if self._transport is not None:
            peer = host_of(self._transport.get_extra_info("peername"))
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
