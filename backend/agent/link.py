"""One control connection to a balancer: the registration, then lines both ways."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from backend.agent.identity import Identity, registration
from balancer.wire import control
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import CONTROL_LINE_MAX_BYTES
from balancer.wire.lines import LineDecoder

CONNECT_S = 2.0
ANSWER_S = 5.0
"""For each answer during the registration."""
UNSENT_MAX_BYTES = 64 << 10
"""More than this unsent: the balancer stands still; beats that it would read late are left out."""

_HINTS: Final = {
    "address_not_allowed": "; the balancer dials the registered url itself: its host must be the address this agent"
    " comes from, or lie in the balancer's --backends-from",
    "bad_url": "; the balancer must be able to resolve and dial the registered url",
    "token_required": "; give both the same: --token-file or LLM_BALANCER_TOKEN",
}

_NO_TOKEN: Final = {"bad_token": "; this agent has no token: --token-file or LLM_BALANCER_TOKEN"}

T = TypeVar("T")


class Refusal(Exception):
    """The balancer will not have us, or not now."""

    def __init__(self, refused: control.Refused, *, has_token: bool = True) -> None:
        hints = _HINTS if has_token else _HINTS | _NO_TOKEN
        super().__init__(f"{refused.message} ({refused.code}){hints.get(refused.code, '')}")
        self.retry_after_s = refused.retry_after_s


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """A lease and the key that signs its heartbeats."""

    lease: control.Lease
    key: bytes


class ControlLink:
    """A connection to ``host:port``. `open` first; `close` always."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = LineDecoder(CONTROL_LINE_MAX_BYTES)
        self._lines: list[bytes] = []

    @classmethod
    async def open(cls, host: str, port: int) -> ControlLink:
        """Raises `OSError` (`TimeoutError` after `CONNECT_S`)."""
        async with asyncio.timeout(CONNECT_S):
            return cls(*await asyncio.open_connection(host, port))

    @property
    def peer(self) -> tuple[str, int]:
        """The balancer's address, as connected: its UDP port has the same number."""
        address: tuple[Any, ...] = self._writer.get_extra_info("peername")
        return str(address[0]), int(address[1])

    async def register(self, identity: Identity, token: bytes) -> LeaseKey:
        """Register and prove. Raises `Refusal`, `RemoteProtocolError`, `OSError`."""
        local_address = str(self._writer.get_extra_info("sockname")[0])
        fields = registration(identity, local_address=local_address, nonce=secrets.token_hex(control.NONCE_BYTES))
        line = control.message_line("register", fields)
        self._writer.write(line)
        register_line = line.rstrip(b"\n")
        nonce = (await self._expect("challenge", control.Challenge)).nonce
        mac = control.proof(token, nonce, register_line).hex() if token else ""
        self.send("prove", control.Prove(mac))
        lease = await self._expect("lease", control.Lease, has_token=bool(token))
        key = bytes.fromhex(lease.key) if lease.key else control.lease_key(token, nonce, register_line)
        return LeaseKey(lease, key)

    def send(self, kind: str, fields: object) -> bool:
        """Write one message; ``False`` if too much is unsent already."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            return False
        self._writer.write(control.message_line(kind, fields))
        return True

    async def receive(self) -> tuple[str, Any] | None:
        """The next message; ``None`` at the end of the connection. Raises `RemoteProtocolError`, `OSError`."""
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if line and not line.isspace():
                    return control.parse_message(line)
            data = await self._reader.read(1 << 16)
            if not data:
                return None
            self._lines = self._decoder.feed(data)

    def close(self) -> None:
        self._writer.close()

    async def _expect(self, kind: str, fields_type: type[T], *, has_token: bool = True) -> T:
        async with asyncio.timeout(ANSWER_S):
            message = await self.receive()
        if message is None:
            raise RemoteProtocolError("closed", "the balancer closed the connection during registration")
        if message[0] == "refused":
            raise Refusal(control.parse_fields(message[1], control.Refused), has_token=has_token)
        if message[0] == "error":
            raise RemoteProtocolError("refused", f"the balancer answered: {message[1]}")
        if message[0] != kind:
            raise RemoteProtocolError("unknown_message", f"expected {kind}, the balancer sent {message[0]}")
        return control.parse_fields(message[1], fields_type)
