"""What lies between the processes: datagrams that get lost, late, doubled and reordered; connections that don't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.sim.world import Handler, Process, World

MAX_DELAY_S = 0.02
MAX_LATE_S = 2.0


@dataclass
class Link:
    """The way to one backend. Cut, it loses datagrams and holds back what connections carry."""

    loss: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    cut_at: float = 0.0
    cut_until: float = 0.0

    def is_up(self, now: float) -> bool:
        return now >= self.cut_until

    def cut(self, now: float, duration_s: float) -> None:
        """A second cut doesn't prolong the first: what that holds back is on its way already."""
        if self.is_up(now):
            self.cut_at = now
            self.cut_until = now + duration_s


class Connection:
    """Ordered and reliable, with an end at each of two processes; it closes when either closes it or dies."""

    def __init__(self, network: Network, link: Link, near: Process, far: Process) -> None:
        self._network = network
        self._link = link
        self._ends = (near, far)
        self._incarnations = (near.incarnation, far.incarnation)
        self._arrives = [0.0, 0.0]
        self._closed = [False, False]
        self.on_close: list[Handler | None] = [None, None]

    def send(self, to: int, handler: Handler, *args: Any) -> None:
        """Have `handler` run at the end `to` (0 near, 1 far), after all that was sent there before."""
        if not self._closed[1 - to]:
            self._carry(to, handler, args)

    def close(self, by: int) -> None:
        """Close at this end; the other learns of it after all that was sent there before."""
        if not self._closed[by]:
            self._shut(by)
            self._carry(1 - by, self._close_at, (1 - by,))

    def _close_at(self, end: int) -> None:
        self._shut(end)
        handler = self.on_close[end]
        if handler is not None:
            handler()

    def _shut(self, end: int) -> None:
        self._closed[end] = True
        self._network.forget(self, self._ends[end])

    def _carry(self, to: int, handler: Handler, args: tuple[Any, ...]) -> None:
        world = self._network.world
        start = max(world.now, self._link.cut_until)
        self._arrives[to] = max(self._arrives[to], start + MAX_DELAY_S * world.rng.random())
        process, incarnation = self._ends[to], self._incarnations[to]
        world.at(self._arrives[to], process.receive, incarnation, self._handle, to, handler, args)

    def _handle(self, to: int, handler: Handler, args: tuple[Any, ...]) -> None:
        if not self._closed[to]:
            handler(*args)


class Network:
    """Makes connections, carries datagrams, and closes what a dead process leaves open."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._open: dict[Process, dict[Connection, int]] = {}

    def connect(self, link: Link, near: Process, far: Process) -> Connection:
        """A connection that the near end may use at once; if nobody runs at the far end, it closes soon."""
        connection = Connection(self, link, near, far)
        for end, process in enumerate((near, far)):
            self._open.setdefault(process, {})[connection] = end
        if not far.up:
            connection.close(1)
        return connection

    def forget(self, connection: Connection, process: Process) -> None:
        """The process has closed its end."""
        self._open.get(process, {}).pop(connection, None)

    def close_all(self, process: Process) -> None:
        """What the system does for a process that dies."""
        for connection, end in list(self._open.get(process, {}).items()):
            connection.close(end)

    def datagram(self, link: Link, arrive: Handler, *args: Any) -> None:
        """Send it on its way, on which it may be lost, late or doubled."""
        rng = self.world.rng
        if not link.is_up(self.world.now) or rng.random() < link.loss:
            return
        for _ in range(2 if rng.random() < link.doubled else 1):
            delay_s = MAX_LATE_S if rng.random() < link.late else MAX_DELAY_S
            self.world.after(delay_s * rng.random(), arrive, *args)
