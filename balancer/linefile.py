"""Lines appended to a file or to standard output by a thread of its own: a slow disk or a full pipe delays nobody.

Rejected: non-blocking writes on the event loop, since a regular file is always "ready" and blocks all the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError

log = logging.getLogger("balancer.accesslog")

MODE: Final = 0o640
STDOUT: Final = "-"
STDOUT_FD: Final = 1


class LineFile:
    """Takes batches of whole lines; one that cannot be written is lost as a whole, and counted.

    Raises `ConfigError`: the file cannot be opened for appending.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = STDOUT_FD
        if path != STDOUT:
            try:
                self._fd = _open(path)
            except OSError as error:
                raise ConfigError(f"access-log: {error.strerror}: {path}") from None
        self.lost_lines = 0
        self._given_bytes = 0
        self._taken_bytes = 0
        self._reopen = False
        self._failing = False
        self._torn = False
        """The last write ended within a line."""
        self._batches: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    @property
    def pending_bytes(self) -> int:
        """Given but not yet written."""
        return self._given_bytes - self._taken_bytes

    def write(self, batch: bytes, lines: int) -> None:
        """Append whole lines, soon. Bounding what is pending is the caller's."""
        self._given_bytes += len(batch)
        self._batches.put((batch, lines))

    def reopen(self) -> None:
        """Open the file by its name again before the next batch; a file that was moved away is noticed without."""
        self._reopen = True

    def close(self, within_s: float) -> bool:
        """Write what is pending, and end; False: it took too long, and the rest is given up."""
        self._batches.put(None)
        self._thread.join(within_s)
        return not self._thread.is_alive()

    # --- the thread's side

    def _run(self) -> None:
        while (item := self._batches.get()) is not None:
            batch, lines = item
            try:
                self._follow()
                self._append(batch)
                self._failing = False
            except OSError as error:
                self.lost_lines += lines
                self._complain(error)
            self._taken_bytes += len(batch)
        if self._fd != STDOUT_FD:
            os.close(self._fd)

    def _follow(self) -> None:
        """Open the file anew if its name stands for another one by now, as it does after a rotation."""
        if self._path == STDOUT or not (self._reopen or self._moved()):
            return
        self._reopen = False
        try:
            fd = _open(self._path)
        except OSError as error:
            self._complain(error)  # what was the file before still takes lines
            return
        os.close(self._fd)
        self._fd, self._torn = fd, False

    def _moved(self) -> bool:
        try:
            return not os.path.samestat(Path(self._path).stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return True

    def _append(self, batch: bytes) -> None:
        rest = memoryview(b"\n" + batch if self._torn else batch)
        while rest:
            written = os.write(self._fd, rest)
            self._torn = rest[written - 1] != ord("\n")
            rest = rest[written:]

    def _complain(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            log.error("the access log cannot be written: %s", error.strerror)


def _open(path: str) -> int:
    # Without O_NONBLOCK a named pipe that nobody reads would hang whoever opens it.
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, MODE)
    with contextlib.suppress(OSError):
        os.set_blocking(fd, True)
    return fd
