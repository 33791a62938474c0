"""The control door: a backend's agent registers here and keeps the connection open; its end is a leave.

Proof comes first, then the address, so that nobody without the token can make the balancer look up a name. A
refusal is an audit line and a count; the pool stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast
from urllib.parse import urlsplit

import msgspec

from balancer.addressing import address_of
from balancer.doors.addresses import host_of, is_loopback, why_not_dial
from balancer.doors.agents import Agents
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.transition import Refused, Registered
from balancer.tasks import spawn
from balancer.wire import control
from balancer.wire.control import Lease, Prove, Register
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import CONTROL_LINE_MAX_BYTES
from balancer.wire.lines import LineDecoder

log = logging.getLogger("balancer.control")

HANDSHAKE_S = 10.0
RETRY_REFUSED_S = 30.0
"""When a refused agent may ask again: somebody has to change a setting first."""
_SHOWN_KIND_MAX = 40


class ControlConnection(asyncio.Protocol):
    """One agent: register, challenge, prove, lease; then beats where UDP fails, drain and leave."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._lines = LineDecoder(CONTROL_LINE_MAX_BYTES)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._peer = ""
        self._own = ""
        """The balancer's address as this agent reached it."""
        self._register: Register | None = None
        self._register_line = b""
        self._nonce = ""
        self._proving = False
        self._lease_id: int | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = host_of(transport.get_extra_info("peername"))
        self._own = host_of(transport.get_extra_info("sockname"))
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                if line and self._transport is not None:
                    self._line(line)
        except RemoteProtocolError as error:
            self._refuse(error.code, error.message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._lease_id is not None:
            self._agents.left(self._lease_id, self)

    # --- messages

    def _line(self, line: bytes) -> None:
        kind, fields = control.parse_message(line)
        if self._lease_id is not None:
            self._leased(kind, fields)
        elif kind == "register" and self._register is None:
            self._register = control.parse_fields(fields, Register)
            self._register_line = line
            self._nonce = self._agents.nonce()
            self._say("challenge", {"nonce": self._nonce})
        elif kind == "prove" and self._register is not None and not self._proving:
            self._proving = True
            self._prove(self._register, control.parse_fields(fields, Prove))
        else:
            raise _unexpected(kind)

    def _prove(self, register: Register, prove: Prove) -> None:
        token = self._agents.token
        if token is None and not (is_loopback(self._peer) or self._agents.insecure):
            self._refuse("token_required", "without a token backends register from this machine only")
        elif token is not None and not control.proof_holds(token, self._nonce, self._register_line, prove.mac):
            self._refuse("bad_token", "the proof does not match this balancer's token")
        else:
            spawn(self._resolve(register), name=f"register {register.name}")

    async def _resolve(self, register: Register) -> None:
        """Look the host up once; from here on it is dialled by address."""
        try:
            spec = await resolved_spec(register)
        except (OSError, TimeoutError, ValueError) as error:
            self._refuse("bad_url", f"{register.url}: {error}")
            return
        refusal = why_not_dial(
            spec.host,
            spec.port,
            peer=self._peer,
            allowed=self._agents.networks,
            own_port=self._agents.own_port,
            own_hosts={*self._agents.own_hosts, self._own},
        )
        if refusal is not None:
            self._refuse("address_not_allowed", refusal)
        elif self._transport is not None:
            self._enter(spec)

    def _enter(self, spec: BackendSpec) -> None:
        agents = self._agents
        if agents.token is not None:
            key = control.lease_key(agents.token, self._nonce, self._register_line)
        else:
            key = agents.random_key()
        found = agents.register(spec, key, self)
        if isinstance(found, Refused):
            self._refuse(found.code, found.message, found.retry_after_s)
            return
        assert isinstance(found, Registered) and self._timer is not None
        self._timer.cancel()
        self._lease_id = found.lease_id
        lease = Lease(found.lease_id, agents.beat_s, agents.deadline_s, None if agents.token is not None else key.hex())
        self._say("lease", msgspec.to_builtins(lease))

    def _leased(self, kind: str, fields: object) -> None:
        assert self._lease_id is not None
        if kind == "beat":
            ack = self._agents.beat(control.datagram_bytes(fields), "tcp")
            if ack is not None:
                self._say("ack", control.datagram_text(ack))
        elif kind == "drain":
            self._agents.drain(self._lease_id, fields is not False)
        elif kind == "leave":
            if self._transport is not None:
                self._transport.close()
        else:
            raise _unexpected(kind)

    # --- out

    def drain(self, draining: bool) -> None:
        """Tell the agent that an operator took its backend out (or back in)."""
        self._say("drain", draining)

    def superseded(self) -> None:
        """Another connection holds this backend's lease now."""
        self._lease_id = None
        if self._transport is not None:
            self._transport.abort()

    def expired(self) -> None:
        """The pool has forgotten the backend; if it lives, its agent registers anew."""
        self.superseded()

    def _say(self, kind: str, fields: object) -> None:
        if self._transport is not None:
            self._transport.write(control.message_line(kind, fields))

    def _refuse(self, code: str, message: str, retry_after_s: float = RETRY_REFUSED_S) -> None:
        name = self._register.name if self._register is not None else "?"
        self._agents.refused(self._peer, name, code, message)
        self._say("refused", {"code": code, "message": message, "retry_after_s": retry_after_s})
        if self._transport is not None:
            self._transport.close()


def _unexpected(kind: str) -> RemoteProtocolError:
    return RemoteProtocolError("unexpected_message", f"{kind[:_SHOWN_KIND_MAX]!r} was not expected here")


async def resolved_spec(register: Register) -> BackendSpec:
    """What the pool keeps of a registration. Raises `ValueError` or `OSError` for a URL that leads nowhere."""
    url = urlsplit(register.url)
    plain = register.url.isascii() and " " not in register.url and not url.query and not url.fragment
    if url.scheme not in ("http", "https") or not url.hostname or url.username is not None or not plain:
        raise ValueError("expected http://HOST:PORT")
    port = url.port or (443 if url.scheme == "https" else 80)
    return BackendSpec(
        name=register.name,
        kind="native",
        host=await address_of(url.hostname, port),
        port=port,
        tls=url.scheme == "https",
        path_prefix=url.path.rstrip("/"),
        host_header=url.netloc,
        models=tuple(ModelInfo(model.name, model.context_length) for model in register.models),
        endpoints=frozenset(register.endpoints),
        slots=register.slots,
        weight=register.weight,
        engine=register.engine,
        version=register.version,
        abilities=frozenset(register.abilities),
        labels=tuple(sorted(register.labels.items())),
        instance=register.instance,
    )
