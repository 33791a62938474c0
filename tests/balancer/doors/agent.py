"""An agent that registers by hand."""

from __future__ import annotations

from typing import Any

from balancer.wire import control, heartbeat
from balancer.wire.heartbeat import Beat
from tests.balancer.doors.lobby import Lobby, Visitor

NONCE = "0123456789abcdef0123456789abcdef"


def a_register(name: str = "gpu-1", **changes: Any) -> dict[str, Any]:
    fields = {
        "name": name,
        "url": "http://127.0.0.1:8000",
        "models": [{"name": "m", "context_length": 1024}],
        "endpoints": ["completions"],
        "slots": 2,
        "nonce": NONCE,
        "instance": f"{name}-1",
    }
    return {"register": {**fields, **changes}}


class RawAgent:
    """A control connection and what was said on it."""

    def __init__(self, visitor: Visitor, token: bytes | None) -> None:
        self.visitor = visitor
        self.token = token
        self.key = b""
        self.lease_id = 0
        self.sequence = 0
        self.proof = ""
        self.challenge = ""

    async def register(self, token: bytes | None = None, **changes: Any) -> dict[str, Any]:
        """Say register, answer the challenge; what the balancer says then."""
        line = control.message_line("register", a_register(**changes)["register"])
        self.visitor.send(line)
        first = await self.visitor.line()
        if "challenge" not in first:
            return first
        self.challenge = first["challenge"]["nonce"]
        token = token if token is not None else self.token
        mac = control.proof(token, self.challenge, line[:-1]).hex() if token is not None else ""
        self.proof = mac
        self.visitor.send({"prove": {"mac": mac}})
        answer = await self.visitor.line()
        if "lease" in answer:
            lease = answer["lease"]
            self.lease_id = lease["id"]
            if "key" in lease:
                self.key = bytes.fromhex(lease["key"])
            elif token is not None:
                self.key = control.lease_key(token, self.challenge, line[:-1])
        return answer

    def datagram(self, **fields: Any) -> bytes:
        self.sequence += 1
        return heartbeat.seal_beat(self.key, self.lease_id, Beat(**{"sequence": self.sequence, **fields}))

    def beat(self, **fields: Any) -> None:
        """A beat over the control connection."""
        self.visitor.send({"beat": control.datagram_text(self.datagram(**fields))})


async def an_agent(lobby: Lobby, token: bytes | None = None) -> RawAgent:
    return RawAgent(await lobby.visit(), token)
