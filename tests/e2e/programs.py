"""Programs of ours as processes: started, awaited until ready, signalled, listened to, and never left behind.

What a program wrote is kept (bounded) and added to whatever error leaves its context, so that a failure shows it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from scripts import compiled_copy

ROOT: Final = Path(__file__).resolve().parents[2]
COMPILED: Final = os.environ.get("E2E_COMPILED") == "1"
"""All balancers run what ``scripts/compile`` made: ``E2E_COMPILED=1 pytest tests/e2e``."""
START_S: Final = 150.0
"""A start, of a model too, on a machine that is busy with something else."""
EXIT_S: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1
_prctl: Final = getattr(ctypes.CDLL(None), "prctl", None)
_LINES_MAX: Final = 20_000
_TAIL_LINES: Final = 40


class Program:
    """One running process. ``ready`` is its ready line, decoded; ``{}`` until it came."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.ready: dict[str, Any] = {}
        self.out: deque[str] = deque(maxlen=_LINES_MAX)
        self.err: deque[str] = deque(maxlen=_LINES_MAX)
        self._wrote = asyncio.Condition()
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.out)),
            asyncio.create_task(self._read(process.stderr, self.err)),
        ]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All it wrote to standard error."""
        return "\n".join(self.err)

    async def wrote(self, text: str, within_s: float = 10.0) -> str:
        """The first line on standard error with this text in it, awaited if need be."""
        return await self._find(self.err, lambda line: text in line, within_s)

    async def said(self, text: str, within_s: float = START_S) -> str:
        """The first line on standard output with this text in it, awaited if need be."""
        return await self._find(self.out, lambda line: text in line, within_s)

    async def until_ready(self) -> None:
        """Await the ready line, a JSON object. Raises `AssertionError` if the process ends first."""
        found = await self._find(self.out, lambda line: line.startswith("{"), START_S)
        self.ready = json.loads(found)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        """The process stands still; its sockets stay open."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.process.wait()

    async def exited(self, within_s: float = EXIT_S) -> int:
        """Its exit status, awaited; all it wrote has been read then."""
        async with asyncio.timeout(within_s):
            status = await self.process.wait()
            await asyncio.gather(*self._readers)
        return status

    def rss_bytes(self) -> int:
        """Resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.name} has no memory: it has ended")

    def tail(self) -> str:
        lines = [*list(self.out)[-5:], *list(self.err)[-_TAIL_LINES:]]
        return f"--- {self.name} (pid {self.pid}, status {self.process.returncode})\n" + "\n".join(lines)

    async def close(self) -> None:
        await self.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.gather(*self._readers)

    async def _read(self, stream: asyncio.StreamReader | None, lines: deque[str]) -> None:
        assert stream is not None
        while line := await stream.readline():
            async with self._wrote:
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._wrote.notify_all()
        async with self._wrote:
            self._wrote.notify_all()

    async def _find(self, lines: deque[str], wanted: Callable[[str], bool], within_s: float) -> str:
        try:
            async with asyncio.timeout(within_s), self._wrote:
                while True:
                    for line in lines:
                        if wanted(line):
                            return line
                    if all(reader.done() for reader in self._readers):
                        break
                    await self._wrote.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} did not write what was awaited within {within_s:g} s") from None
        raise AssertionError(f"{self.name} ended before it wrote what was awaited")


def environment(**extra: str) -> dict[str, str]:
    """Ours, without settings of the machine's owner."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(ROOT), **(compiled_copy.environment() if COMPILED else {}), **extra}


def _die_with_us() -> None:
    """On Linux: nothing outlives a run of the tests that is killed."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@asynccontextmanager
async def started(name: str, arguments: Sequence[str], **extra: str) -> AsyncIterator[Program]:
    """A process in a group of its own, which is killed at the end, whatever happened."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(**extra),
        start_new_session=True,
        preexec_fn=_die_with_us,
        limit=1 << 20,
    )
    program = Program(name, process)
    try:
        yield program
    except BaseException as error:
        error.add_note(program.tail())
        raise
    finally:
        await program.close()


async def output_of(arguments: Sequence[str], stdin: bytes = b"", **extra: str) -> tuple[int, str, str]:
    """Run a command to its end: status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(**extra),
    )
    try:
        async with asyncio.timeout(START_S):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def python(module: str, *arguments: str) -> list[str]:
    """The command for a module of ours."""
    return [sys.executable, "-m", module, *arguments]
