"""An engine that speaks HTTP by script: one coroutine for each request says what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from balancer.errors import Failure
from balancer.exchange.ports import Upstream
from balancer.pool.backend import BackendSpec
from balancer.request import Request
from tests.balancer.pool.specs import a_spec
from tests.fakes import last_events, text_events

BACKLOG = 1024
"""Of dials at the same moment: one that finds the queue full is made again a second later, or three."""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
OPEN_ENDED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"


class Visit:
    """One request at the engine."""

    def __init__(self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.body = body
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def chunks(self, *pieces: bytes) -> None:
        await self.send(*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces))

    async def stream(self, *texts: str) -> None:
        """A whole, proper answer."""
        await self.send(STREAM_HEAD)
        await self.chunks(*(text_events(text) for text in texts), last_events())
        await self.send(b"0\r\n\r\n")

    async def plain(self, status: int, body: bytes, *headers: bytes, kind: bytes = b"application/json") -> None:
        lines = [b"HTTP/1.1 %d X" % status, b"content-type: " + kind, b"content-length: %d" % len(body), *headers]
        await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def slices(self, data: bytes) -> None:
        """Byte by byte, each in a segment of its own as far as the kernel lets it."""
        for i in range(len(data)):
            await self.send(data[i : i + 1])
            await asyncio.sleep(0)

    def reset(self) -> None:
        """RST instead of FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()

    async def left(self) -> None:
        """Until the balancer hangs up."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(4096):
                pass


Script = Callable[[Visit], Awaitable[None]]


class Engine:
    """Serves the scripts in turn, the last one for ever."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.visits: list[Visit] = []
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Engine]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=BACKLOG, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=5.0)

    def cut_all(self) -> None:
        """Every connection is closed, the idle ones too."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                self.visits.append(Visit(head, body, reader, writer))
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                await script(self.visits[-1])


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


class Listener:
    """A receiver that remembers, and tells when something has come."""

    def __init__(self) -> None:
        self.raw = b""
        self.body: bytes | None = None
        self.pieces = 0
        self.failure: Failure | None = None
        self.ended = False
        self.over = asyncio.Event()
        self.first = asyncio.Event()

    def on_events(self, events: bytes) -> None:
        assert not self.over.is_set()
        self.raw += events
        self.pieces += 1
        self.first.set()

    def on_whole(self, body: bytes) -> None:
        assert not self.over.is_set()
        self.body = body

    def on_end(self) -> None:
        assert not self.over.is_set()
        self.ended = True
        self.over.set()

    def on_failure(self, failure: Failure) -> None:
        assert not self.over.is_set()
        self.failure = failure
        self.over.set()


def a_request(prompt: str = "hello", **body: object) -> Request:
    return Request("r1", "local", "completions", {"prompt": prompt, **body}, len(prompt))


async def asked(upstream: Upstream, spec: BackendSpec, request: Request | None = None) -> Listener:
    """Ask and wait for the end."""
    listener = Listener()
    upstream.ask(spec, request or a_request(), "m", listener)
    async with asyncio.timeout(10.0):
        await listener.over.wait()
    return listener


def spec_of(engine: Engine) -> BackendSpec:
    return a_spec("gpu", port=engine.port)


async def a_closed_port() -> int:
    """A port of this machine that nobody listens on."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port
