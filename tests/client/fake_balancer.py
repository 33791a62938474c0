"""A balancer with a script instead of backends: real sockets, native lines, one coroutine for each request.

`FakeBalancer.script` decides what a request gets; `Exchange` writes the lines. Requests and cancels are kept for tests
to look at. `in_thread` runs one beside code that blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec

from balancer.wire import native
from balancer.wire.limits import LINE_MAX_BYTES


class FakeExchange:
    """One request, and how to answer it."""

    def __init__(self, writer: asyncio.StreamWriter, ask: native.Ask) -> None:
        self.ask = ask
        self.writer = writer
        self.cancelled = asyncio.Event()

    @property
    def last_user_text(self) -> str:
        body = self.ask.body
        return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def text(self, *pieces: str) -> None:
        for piece in pieces:
            await self.raw(native.text_line(native.text_head(self.ask.id), piece))

    async def queued(self, position: int) -> None:
        await self.raw(native.queued_line(self.ask.id, position))

    async def done(self, **fields: Any) -> None:
        fields = {"finish_reason": "stop", "model": "scripted", "backend": "b1", "cache": "miss", **fields}
        await self.raw(native.done_line(self.ask.id, fields))

    async def error(self, code: str, message: str, type: str = "server_error", **more: Any) -> None:
        await self.raw(native.error_line(self.ask.id, type=type, code=code, message=message, **more))

    async def cut(self) -> None:
        """The connection breaks, with what was written so far delivered."""
        self.writer.close()


Script = Callable[[FakeExchange], Awaitable[None]]


async def echo(x: FakeExchange) -> None:
    words = x.last_user_text.split(" ")
    pieces = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
    await x.text(*pieces)
    await x.done(usage={"prompt_tokens": len(words), "completion_tokens": len(words)})


async def endless(x: FakeExchange) -> None:
    while True:
        await x.text("tick ")
        await asyncio.sleep(0.005)


class FakeBalancer:
    def __init__(self, script: Script = echo) -> None:
        self.script = script
        self.asks: list[native.Ask] = []
        self.cancels: list[native.RequestId] = []
        self.wrongs: list[native.Wrong] = []
        self.connections = 0
        self.cancel_seen = asyncio.Event()
        self.cancel_heard = threading.Event()
        """The same, for who waits in another thread."""
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._exchanges: dict[native.RequestId, tuple[FakeExchange, asyncio.Task[None]]] = {}

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[FakeBalancer]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", port, limit=LINE_MAX_BYTES + 1)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut_all()
            tasks = [task for _, task in self._exchanges.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Every connection breaks."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                self._take(native.parse_line(line), writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(
        self, message: native.Ask | native.Cancel | native.Wrong | native.Control | None, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(message, native.Ask):
            self.asks.append(message)
            exchange = FakeExchange(writer, message)
            task = asyncio.get_running_loop().create_task(self._run(exchange))
            self._exchanges[message.id] = (exchange, task)
        elif isinstance(message, native.Wrong):
            self.wrongs.append(message)
            writer.write(native.wronged_line(message.entry, True))
        elif isinstance(message, native.Cancel):
            self.cancels.append(message.id)
            self.cancel_seen.set()
            self.cancel_heard.set()
            exchange, task = self._exchanges[message.id]
            if not task.done():
                exchange.cancelled.set()
                # Not at once: a task that never began would have no part in its own cancelling.
                asyncio.get_running_loop().call_soon(task.cancel)

    async def _run(self, exchange: FakeExchange) -> None:
        try:
            await self.script(exchange)
        except asyncio.CancelledError:
            if exchange.cancelled.is_set():
                await exchange.done(finish_reason="cancelled")
        except ConnectionError:
            pass


@contextlib.contextmanager
def in_thread(script: Script = echo, port: int = 0) -> Iterator[FakeBalancer]:
    """A `FakeBalancer` on a loop of its own, for tests of code that blocks or runs in another process."""
    started = threading.Event()
    holder: list[Any] = []

    async def serve() -> None:
        balancer = FakeBalancer(script)
        stop = asyncio.Event()
        async with balancer.running(port):
            holder.extend((balancer, asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the fake balancer did not start")
    balancer, loop, stop = holder
    try:
        yield balancer
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def reply(**fields: Any) -> bytes:
    """A line as the balancer writes it."""
    return msgspec.json.encode(fields) + b"\n"
