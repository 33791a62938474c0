"""An engine by hand: speaks just enough OpenAI HTTP, and then does what a test's script says.

A script gets the request's body and the connection, and writes whatever it likes; the connection is closed after it.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

Script = Callable[[dict[str, Any], "Wire"], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"


def event(text: str, finish_reason: str | None = None, line_end: str = "\n") -> bytes:
    """A completions event as engines send it."""
    choice = {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}
    body = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "echo", "choices": [choice]}
    return f"data: {json.dumps(body, ensure_ascii=False)}{line_end}{line_end}".encode()


def events(*texts: str, line_end: str = "\n") -> bytes:
    """A whole stream: pieces, the finish, the end mark."""
    done = b"data: [DONE]" + 2 * line_end.encode()
    return b"".join(event(text, None, line_end) for text in texts) + event("", "stop", line_end) + done


def as_chat(completions: bytes) -> bytes:
    """The same events as the other endpoint has them."""
    return re.sub(rb'"text": ("[^"]*")', rb'"delta": {"content": \1}', completions)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Wire:
    """The engine's side of one connection."""

    def __init__(self, engine: FakeEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._engine = engine
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_sliced(self, data: bytes, size: int = 1) -> None:
        """So many bytes a segment."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), size):
            self._writer.write(data[at : at + size])
            await self._writer.drain()
            await asyncio.sleep(0)

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def hung_up(self, within_s: float = 10.0) -> None:
        """The balancer has closed this connection: its request is cancelled here."""
        with suppress(ConnectionError):
            async with asyncio.timeout(within_s):
                await self._reader.read()
        self._engine.cancelled.set()

    async def until_read(self) -> None:
        """The test says that the client has what was sent so far."""
        await self._engine.read_by_client.wait()


class FakeEngine:
    """Listens on ``port``; ``asked`` are the bodies of the requests that came, ``heads`` their heads."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.asked: list[dict[str, Any]] = []
        self.heads: list[str] = []
        """In lower case."""
        self.cancelled = asyncio.Event()
        self.read_by_client = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if head.startswith("get"):
                body = json.dumps({"object": "list", "data": [{"id": "echo", "object": "model"}]}).encode()
                head_bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                writer.write(head_bytes + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
            else:
                length = int(next(line for line in head.split("\r\n") if "content-length" in line).partition(":")[2])
                body = json.loads(await reader.readexactly(length))
                self.asked.append(body)
                self.heads.append(head)
                await self.script(body, Wire(self, reader, writer))
        writer.close()


@asynccontextmanager
async def engine(script: Script) -> AsyncIterator[FakeEngine]:
    """An engine that follows the script."""
    found = FakeEngine(script)
    serving: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(found.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, backlog=1024)
    found.port = int(server.sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
