"""An HTTP client by hand: requests as bytes, answers read back with their framing checked."""

from __future__ import annotations

import json
from typing import Any

from balancer.wire.sse import event_data
from tests.balancer.doors.lobby import Lobby, Visitor

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"


def request(method: str, path: str, body: object = None, *headers: str, version: str = "1.1") -> bytes:
    """``body``: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def completion(*headers: str, version: str = "1.1", **body: Any) -> bytes:
    """``POST /v1/completions``."""
    return request("POST", COMPLETIONS, {"prompt": "hi", **body}, *headers, version=version)


def chat(*headers: str, **body: Any) -> bytes:
    """``POST /v1/chat/completions``."""
    return request("POST", CHAT, {"messages": [{"role": "user", "content": "hi"}], **body}, *headers)


class Reply:
    """One answer; ``body`` grows with `more` while it streams."""

    def __init__(self, visitor: Visitor, status: int, headers: dict[str, str]) -> None:
        self._visitor = visitor
        self.status = status
        self.headers = headers
        self.body = b""
        self.complete = False

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"

    async def more(self) -> bytes:
        """The next chunk; empty is the end."""
        size = int(await self._line(), 16)
        data = await self._visitor.read(size)
        assert await self._visitor.read(2) == b"\r\n"
        self.body += data
        self.complete = not size
        return data

    async def until(self, text: bytes) -> None:
        """Until this has come."""
        while text not in self.body:
            assert await self.more(), self.body

    async def whole(self) -> Reply:
        """Up to its end."""
        if "content-length" in self.headers:
            self.body = await self._visitor.read(int(self.headers["content-length"]))
        elif self.chunked:
            while await self.more():
                pass
        else:
            self.body += await self._visitor.rest()
        self.complete = True
        return self

    async def _line(self) -> bytes:
        return (await self._visitor.reader.readuntil(b"\r\n"))[:-2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        """Of its error."""
        return self.json["error"]["code"]

    @property
    def events(self) -> list[bytes]:
        return list(event_data(self.body))


async def reply(visitor: Visitor) -> Reply:
    """The head of the next answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await visitor.read(1)
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return Reply(visitor, int(lines[0].split()[1]), headers)


async def called(lobby: Lobby, *sent: bytes) -> Reply:
    """Send this on a connection of its own; the whole answer."""
    return await (await reply(await lobby.visit(*sent))).whole()
