"""Classic servers as they are: some close after each answer, some keep a connection, some read once and stay open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from balancer.pool.backend import CLASSIC_MODEL, BackendSpec, ModelInfo
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered
from balancer.request import Request
from balancer.upstream.classic import ClassicUpstream
from balancer.wire.limits import CLASSIC_READ_BYTES
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.engine import Listener

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, "Server"], Awaitable[None]]


class Server:
    """A classic server: reads 1,024 bytes once and answers what stands behind the bar, twice over."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.read: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError):
            await self.behaviour(reader, writer, self)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        message = await reader.read(CLASSIC_READ_BYTES)
        if not message:
            return False
        self.read.append(message)
        head, _, prompt = message.partition(b"|")
        writer.write(head + b"|" + prompt + b" " + prompt)
        await writer.drain()
        return True

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=5.0)


async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
    while await server.answer(reader, writer):
        pass


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
    await server.answer(reader, writer)
    writer.close()


async def reads_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
    await server.answer(reader, writer)
    while await reader.read(4096):
        pass  # leaves it open and answers no more


class Asked:
    """A classic upstream with a pool that knows one classic backend."""

    def __init__(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self.registry = Registry()
        self.spec: BackendSpec = a_spec(
            "old",
            kind="classic",
            port=port,
            models=(ModelInfo(CLASSIC_MODEL),),
            endpoints=frozenset({"completions"}),
            slots=1,
        )
        found = self.registry.register(self.spec, loop.time())
        assert isinstance(found, Registered)
        self.lease_id = found.lease_id
        self.upstream = ClassicUpstream(self.registry, loop)

    def start(self, prompt: object = "hi", **changes: Any) -> tuple[Listener, Any]:
        fields: dict[str, Any] = {
            "id": "r1",
            "tenant": "classic",
            "endpoint": "completions",
            "body": {"prompt": prompt},
            "prompt_bytes": 2,
        }
        listener = Listener()
        return listener, self.upstream.ask(self.spec, Request(**{**fields, **changes}), CLASSIC_MODEL, listener)

    async def ask(self, prompt: object = "hi", **changes: Any) -> Listener:
        listener, _ = self.start(prompt, **changes)
        async with asyncio.timeout(10):
            await listener.over.wait()
        return listener


def text(listener: Listener) -> str:
    datas = list(event_data(listener.raw))
    assert datas[-1] == b"[DONE]"
    return "".join(chunk_text(c) for data in datas[:-1] for c in parse_chunk(data).choices)
