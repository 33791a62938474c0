"""A balancer and echo backends as processes: started, killed, frozen, slowed; none is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 60.0
STOP_S: Final = 45.0
"""Longer than a backend takes to let its answers finish."""
_STATUS_S: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1


class ChaosError(Exception):
    """A process did not do what it must: the run says nothing about the balancer."""


class Program:
    """``python -m MODULE ...``, which says it is ready with a JSON object on standard output."""

    def __init__(self, name: str, log: Path, *command: str) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self._log = log
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, *more: str) -> None:
        """Until it is ready."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._command, *more),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        self._process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                self.ready = json.loads(await process.stdout.readline())
        except (TimeoutError, ValueError):
            raise ChaosError(f"{self.name} did not start:\n{self.log_tail()}") from None

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL; frozen or not, it is gone."""
        if self._process is not None:
            if self.running:
                self.send(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and what was begun is finished."""
        assert self._process is not None
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            raise ChaosError(f"{self.name} does not end:\n{self.log_tail()}") from None

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(f"  {line}" for line in self._log.read_text(errors="replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    """On Linux: nothing outlives the run, however it ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Balancer(Program):
    """Without cache: every request shall need a backend."""

    def __init__(self, logs: Path) -> None:
        options = ("--port", "0", "--admin-port", "0", "--no-cache", "--log-json", "--queue-size", "1024")
        super().__init__("balancer", logs / "balancer.log", "balancer", *options)

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    async def status(self) -> dict[str, Any]:
        """``GET /status``. Raises `ChaosError` if there is none."""
        try:
            async with asyncio.timeout(_STATUS_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(self.ready["admin_port"]))
                try:
                    writer.write(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                finally:
                    writer.close()
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ValueError(f"{head[:40]!r} {body[:200]!r}")
            found: dict[str, Any] = json.loads(body)
            return found
        except (OSError, TimeoutError, ValueError) as error:
            raise ChaosError(f"no status of the balancer: {error}\n{self.log_tail()}") from None


class Backend(Program):
    """An echo backend; every start after the first is on the same port, as the same backend."""

    def __init__(self, number: int, to_port: int, slots: int, delay_ms: float, logs: Path) -> None:
        options = ("--model", "echo", "--slots", str(slots), "--echo-delay-ms", str(delay_ms), "--log-json")
        name = f"chaos-{number}"
        to = ("--name", name, "--balancer", f"127.0.0.1:{to_port}")
        super().__init__(name, logs / f"{name}.log", "backend")
        self._options = (*options, *to)
        self.troubled = False
        """Something is being done to it."""

    async def serve(self) -> None:
        await self.start(str(self.ready.get("port", 0)), *self._options)
