"""A server on a real socket, and the raw side of a client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from backend.engines.base import Engine
from backend.server.server import Server
from balancer.wire.http1 import ResponseDecoder, request
from balancer.wire.sse import event_data


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    complete: bool
    """Whether it ended as its framing says, and not because the connection did."""

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def events(self) -> list[Any]:
        """The decoded events, the last of which is "[DONE]" where there is one."""
        return [data.decode() if data == b"[DONE]" else msgspec.json.decode(data) for data in event_data(self.body)]


class Talk:
    """One connection to a server, on which requests are sent one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = ResponseDecoder()

    def send(self, path: str, body: object = None, method: str = "POST") -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.writer.write(request(method, path, "test", data))

    async def answer(self) -> Answer:
        decoder, body = self._decoder, b""
        decoder.next()
        async with asyncio.timeout(30):
            while not decoder.complete:
                data = await self.reader.read(1 << 16)
                if not data:
                    break
                body += decoder.feed(data)
        return Answer(decoder.status, dict(decoder.headers), body, decoder.complete)

    async def ask(self, path: str, body: object = None, method: str = "POST") -> Answer:
        self.send(path, body, method)
        return await self.answer()

    async def closed(self) -> bytes:
        """What still comes until the server closes."""
        async with asyncio.timeout(30):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


class Site:
    """A listening server and connections to it."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self._talks: list[Talk] = []

    async def talk(self) -> Talk:
        talk = Talk(*await asyncio.open_connection("127.0.0.1", self.port))
        self._talks.append(talk)
        return talk

    async def ask(self, path: str, body: object = None, method: str = "POST") -> Answer:
        return await (await self.talk()).ask(path, body, method)

    def hang_up(self) -> None:
        for talk in self._talks:
            talk.writer.close()


@contextlib.asynccontextmanager
async def serving(engine: Engine, *, slots: int = 4) -> AsyncIterator[Site]:
    server = Server(engine, slots=slots)
    site = Site(server, await server.listen("127.0.0.1", 0))
    try:
        yield site
    finally:
        site.hang_up()
        await server.close()
