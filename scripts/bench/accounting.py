"""What processes used, by the kernel's accounting."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [below for child in children.read_text().split() for below in tree(int(child))]
        except OSError:
            pass  # it has ended
    return found


def cpu_s(pid: int) -> float:
    """CPU time of one process and its threads, in seconds, by /proc/PID/task/*/schedstat, which counts nanoseconds
    where /proc/PID/stat counts hundredths of a second."""
    used_ns = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            used_ns += int(thread.read_text().split()[0])
        except OSError:
            pass  # it has ended
    return used_ns / 1e9


def rss_mb(pid: int) -> float:
    """Resident memory of one process, in MB."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def machine() -> str:
    """The machine in a few words."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    gib = int(memory[1]) / (1 << 20) if memory else 0
    return (
        f"{cpu[1] if cpu else platform.processor()}, {os.cpu_count()} cores, {gib:.0f} GiB, Linux {platform.release()}"
    )


class Meter:
    """CPU time that a process, and those below it, use within the block."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self.own_s = self.below_s = 0.0
        self._before = (0.0, 0.0)

    def __enter__(self) -> Meter:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        own_s, below_s = self._read()
        self.own_s, self.below_s = own_s - self._before[0], below_s - self._before[1]

    def _read(self) -> tuple[float, float]:
        if self._pid is None:
            return 0.0, 0.0
        own, *below = tree(self._pid)
        return cpu_s(own), sum(map(cpu_s, below))
