"""The bridge on a free port: in this loop, or as the process a person would start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from frontend.app import Balancer, make_app
from frontend.limits import Limits
from frontend.server import listen, make_server


@dataclass(frozen=True)
class Served:
    port: int
    ready: str = ""
    """The line that says so, of a process."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


@contextlib.asynccontextmanager
async def served(
    balancer_port: int, limits: Limits | None = None, *, port: int = 0, **options
) -> AsyncIterator[Served]:
    limits = limits or Limits()
    ready = asyncio.Event()
    server = make_server(make_app(Balancer("127.0.0.1", balancer_port), limits=limits, **options), limits, ready.set)
    listening = listen("127.0.0.1", port)
    running = asyncio.get_running_loop().create_task(server.serve([listening]))
    async with asyncio.timeout(20):
        await ready.wait()
    try:
        yield Served(listening.getsockname()[1])
    finally:
        server.should_exit = True
        async with asyncio.timeout(20):
            await running


@contextlib.contextmanager
def process(
    balancer_port: int, *options: str, log: str | None = None
) -> Iterator[tuple[Served, subprocess.Popen[str]]]:
    """`llm-frontend` as a process; ``log`` is the file its standard error goes to."""
    command = [sys.executable, "-m", "frontend", "--port", "0", "--balancer", f"127.0.0.1:{balancer_port}", *options]
    with open(log or os.devnull, "w") as errors:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert running.stdout is not None
            ready = running.stdout.readline()
            assert ready.startswith("ready: http://"), ready
            yield Served(int(ready.split()[1].rpartition(":")[2]), ready), running
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait(20)
            if running.stdout is not None:
                running.stdout.close()
