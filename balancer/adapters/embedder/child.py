"""A child process on the event loop: frames out of it, frames into it, its last words, its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final, cast

from balancer.adapters.embedder.frames import FrameError, FrameReader

_ERROR_TAIL_BYTES: Final = 4096
_STDIN, _STDOUT, _STDERR = 0, 1, 2

OnFrame = Callable[["Child", int, bytes], None]
"""May raise `FrameError`; the child is killed then, like one that sends no frames at all."""
OnExit = Callable[["Child"], None]


class Child(asyncio.SubprocessProtocol):
    """One run of the child, from its start to its end."""

    def __init__(self, on_frame: OnFrame, on_exit: OnExit) -> None:
        self._on_frame = on_frame
        self._on_exit = on_exit
        self._reader = FrameReader()
        self._errors = bytearray()
        self._ended = asyncio.Event()

    @classmethod
    async def start(cls, command: Sequence[str], on_frame: OnFrame, on_exit: OnExit) -> Child:
        """Run a command; `OSError` if it cannot be run."""
        # The libraries would start a thread a core each, and the daemon needs one of them.
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(lambda: cls(on_frame, on_exit), *command, env=env)
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def exit_status(self) -> int | None:
        """As :attr:`subprocess.Popen.returncode`: negative for a signal, ``None`` while it runs."""
        return self._transport.get_returncode()

    @property
    def last_words(self) -> str:
        """The last line it wrote to standard error."""
        lines = self._errors.decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def send(self, frame: bytes) -> None:
        """Write a frame; what the pipe does not take at once is kept, and lost if the child ends."""
        self._input().write(frame)

    def kill(self) -> None:
        """End it at once, be it stopped or busy."""
        try:
            self._transport.kill()
        except ProcessLookupError:
            pass  # it has ended and its end is on its way to us

    def close_input(self) -> None:
        """Ask it to end."""
        self._input().close()

    async def end(self, timeout_s: float) -> None:
        """Ask it to end, and kill it if it has not after ``timeout_s``."""
        self.close_input()
        try:
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        except TimeoutError:
            self.kill()
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        self._transport.close()

    # asyncio.SubprocessProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self._errors += data
            del self._errors[:-_ERROR_TAIL_BYTES]
            return
        try:
            for kind, payload in self._reader.receive(data):
                self._on_frame(self, kind, payload)
        except FrameError as error:
            self._errors += f"\n{error}\n".encode()
            self.kill()

    def process_exited(self) -> None:
        self._ended.set()
        self._on_exit(self)

    def _input(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, self._transport.get_pipe_transport(_STDIN))
