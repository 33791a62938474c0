"""A balancer and backends as processes, and the pool as the admin port tells it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

from tests.e2e.programs import Program, python, started

T = TypeVar("T")

POLL_S: Final = 0.03
BEAT_S: Final = 1.0
DEAD_AFTER_S: Final = 3.5 * BEAT_S
"""Three missed beats: each is missed when half an interval has passed since it was due."""
SLOW_MACHINE_S: Final = 5.0
"""Allowance for the machine itself where a time is a promise: it is shared, and stands still now and then."""
FREED_S: Final = 5.0
"""A second is promised for the slot of a client that left. Nothing else frees it in this time."""
SERVED_S: Final = 5.0
"""A plain request beside troublesome ones. One that takes longer hangs."""


class HttpAnswer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def http(
    port: int, method: str, path: str, *headers: str, body: bytes = b"", timeout_s: float = 10.0
) -> HttpAnswer:
    """One request on a connection of its own."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", *headers]
            lines += [f"Content-Length: {len(body)}"] if body else []
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            return await read_http(reader)
        finally:
            writer.close()


async def read_http(reader: asyncio.StreamReader) -> HttpAnswer:
    """An answer that has a content length, or ends with its connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    length = headers.get("content-length")
    body = await reader.readexactly(int(length)) if length is not None else await reader.read()
    return HttpAnswer(int(head[0].split()[1]), headers, body)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the balancer closes: with a reset, if something was on its way to it."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def thrown_out(port: int, start: bytes, within_s: float, connected: Callable[[], object] | None = None) -> float:
    """Send this and no more; the seconds until the balancer closes, with an answer or without."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = loop.time()
    if connected is not None:
        connected()
    writer.write(start)
    try:
        async with asyncio.timeout(within_s):
            await rest_of(reader)
    finally:
        writer.transport.abort()
    return loop.time() - began


async def until(look: Callable[[], Awaitable[T]], right: Callable[[T], object], within_s: float = 10.0) -> T:
    """Look again and again until it is right; what was seen then. Raises `AssertionError` with the last look."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    while True:
        seen = await look()
        if right(seen):
            return seen
        assert loop.time() < ends_at, f"not within {within_s:g} s; last seen: {seen}"
        await asyncio.sleep(POLL_S)


class Status(dict[str, Any]):
    """``GET /status``, with what tests ask of it."""

    def backend(self, name: str) -> dict[str, Any] | None:
        return next((backend for backend in self["backends"] if backend["name"] == name), None)

    def state(self, name: str) -> str | None:
        """The state of this backend; ``None``: it is not in the pool."""
        backend = self.backend(name)
        return backend["state"] if backend is not None else None

    def running(self, name: str) -> int | None:
        """What this backend's engine said it works on, in its last beat."""
        backend = self.backend(name)
        return backend["load"]["running"] if backend is not None and backend["load"] is not None else None

    @property
    def alive(self) -> list[str]:
        return [backend["name"] for backend in self["backends"] if backend["state"] == "alive"]

    @property
    def in_flight(self) -> int:
        """Leases over all backends."""
        return sum(int(backend["in_flight"]) for backend in self["backends"])

    @property
    def idle(self) -> bool:
        """No lease, nobody waiting, no exchange under way: nothing leaked."""
        return (
            self.in_flight == 0 and self["queue"] == {"waiting": 0, "bytes": 0} and not any(self["exchanges"].values())
        )


class Balancer:
    """A running balancer."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.port = int(program.ready["port"])
        self.admin_port = int(program.ready["admin_port"])

    @property
    def admin(self) -> str:
        return f"127.0.0.1:{self.admin_port}"

    async def status(self) -> Status:
        answer = await http(self.admin_port, "GET", "/status")
        assert answer.status == 200, answer
        return Status(answer.json())

    async def until(self, right: Callable[[Status], object], within_s: float = 10.0) -> Status:
        return await until(self.status, right, within_s)

    async def until_alive(self, *backends: Program, within_s: float = 20.0) -> Status:
        """All of these are in service."""
        names = {backend.ready["name"] for backend in backends}
        return await self.until(lambda status: names <= set(status.alive), within_s)

    async def until_idle(self, within_s: float = 10.0) -> Status:
        return await self.until(lambda status: status.idle, within_s)

    async def drain(self, name: str, *, undo: bool = False) -> None:
        answer = await http(self.admin_port, "POST", f"/drain/{name}" + ("?undo=1" if undo else ""))
        assert answer.status == 200, answer


@asynccontextmanager
async def balancer(*arguments: str, port: int = 0, cache: bool = False, **environment: str) -> AsyncIterator[Balancer]:
    """A balancer that is ready. Without the cache unless asked for: its embedder costs seconds to start."""
    given = ["--port", str(port), "--admin-port", "0", "--log-json", *([] if cache else ["--no-cache"]), *arguments]
    async with started("balancer", python("balancer", *given), **environment) as program:
        await program.until_ready()
        yield Balancer(program)


@asynccontextmanager
async def backend(to: int | None, *arguments: str, port: int = 0, **environment: str) -> AsyncIterator[Program]:
    """An echo backend that listens, registered with the balancer at port ``to`` (``None``: with nobody)."""
    where = ["--no-balancer"] if to is None else ["--balancer", f"127.0.0.1:{to}"]
    model = [] if "--model" in arguments else ["--model", "echo"]
    command = python("backend", str(port), *where, *model, "--log-json", *arguments)
    async with started("backend", command, **environment) as program:
        await program.until_ready()
        yield program


class Pool(NamedTuple):
    balancer: Balancer
    backends: list[Program]

    @property
    def port(self) -> int:
        return self.balancer.port


@asynccontextmanager
async def pool(
    *balancer_arguments: str, backends: list[list[str]] | None = None, cache: bool = False
) -> AsyncIterator[Pool]:
    """A balancer and echo backends (arguments of each; default: one), all in service."""
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(balancer(*balancer_arguments, cache=cache))
        starts = [stack.enter_async_context(backend(front.port, *each)) for each in (backends or [[]])]
        programs = list(await asyncio.gather(*starts))
        await front.until_alive(*programs)
        yield Pool(front, programs)
