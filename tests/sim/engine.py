"""A simulated backend: its agent registers and beats, its engine works on requests for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.wire import heartbeat
from tests.sim.network import Connection, Link, Network
from tests.sim.world import Handler, Process, World

BEAT_S = 1.0
UNHEARD_S = 1.5
"""Without an acknowledgement for so long, beats go over the control connection too."""
RECONNECT_S = 8.0
"""Without one for so long, the agent connects anew."""
FIRST_SHARE = 0.2
"""The part of a request's duration after which its first token comes."""


class Host(Protocol):
    """What a backend must know of the balancer."""

    process: Process

    def on_hello(self, connection: Connection, challenge: Handler) -> None: ...
    def on_register(self, connection: Connection, link: Link, spec: BackendSpec, answer: Handler) -> None: ...
    def on_control_closed(self, connection: Connection) -> None: ...
    def on_line(self, lease_id: int, sequence: int, data: bytes) -> None: ...
    def arrive(self, lease_id: int, sequence: int, data: bytes) -> None: ...


@dataclass
class Job:
    """One request at an engine: how long it takes, and whom to tell."""

    connection: Connection
    duration_s: float
    first: Handler
    last: Handler
    busy: Handler


class SimBackend:
    """`slots` requests at once; more are answered "busy"."""

    def __init__(
        self, world: World, network: Network, host: Host, number: int, *, slots: int, weight: float, link: Link
    ) -> None:
        self.world = world
        self.name = f"b{number}"
        self.link = link
        self.process = Process(world, self.name)
        self.slots = slots
        self.stuck = False
        self.leaving = False
        self.drained = False
        """An operator drained this process."""
        self.ready_since = world.now
        self._network = network
        self._host = host
        self._port = 1235 + number
        self._weight = weight
        self._control: Connection | None = None
        self._lease: tuple[int, bytes] | None = None
        self._sequence = 0
        self._heard_at = 0.0
        self._jobs: dict[Connection, Job] = {}
        self.process.die()

    @property
    def spec(self) -> BackendSpec:
        return BackendSpec(
            name=self.name,
            kind="native",
            host="10.0.0.1",
            port=self._port,
            models=(ModelInfo("m"),),
            endpoints=frozenset({"chat", "completions"}),
            slots=self.slots,
            weight=self._weight,
            instance=f"{self.name}-{self.process.incarnation}",
            abilities=frozenset({"continue_from"}),
        )

    def start(self) -> None:
        self.process.start()
        self.stuck = self.leaving = self.drained = False
        self.ready_since = self.world.now
        self._jobs = {}
        self._control = None
        self._connect()
        self.process.after(BEAT_S * self.world.rng.random(), self._beat)

    def kill(self) -> None:
        self.process.die()
        self._network.close_all(self.process)

    def stick(self, stuck: bool) -> None:
        """The engine hangs, the agent goes on."""
        self.stuck = stuck
        self.ready_since = self.world.now

    def serve(self, job: Job) -> None:
        """A request arrives."""
        if len(self._jobs) >= self.slots:
            job.connection.send(0, job.busy)
            return
        self._jobs[job.connection] = job
        job.connection.on_close[1] = lambda: self._drop(job)
        self.process.after(FIRST_SHARE * job.duration_s, self._begin, job)
        self.process.after(job.duration_s, self._finish, job)

    def _begin(self, job: Job) -> None:
        if job.connection in self._jobs:
            job.connection.send(0, job.first)

    def _finish(self, job: Job) -> None:
        if self._jobs.pop(job.connection, None) is not None:
            job.connection.send(0, job.last)

    def _drop(self, job: Job) -> None:
        self._jobs.pop(job.connection, None)

    def _connect(self) -> None:
        if self._control is not None:
            self._control.close(0)
        self._lease = None
        self._heard_at = self.world.now
        control = self._network.connect(self.link, self.process, self._host.process)
        self._control = control
        control.on_close[0] = lambda: self._lost(control)
        control.on_close[1] = lambda: self._host.on_control_closed(control)
        control.send(1, self._host.on_hello, control, self._on_challenge)

    def _on_challenge(self, control: Connection) -> None:
        if control is self._control:
            control.send(1, self._host.on_register, control, self.link, self.spec, self._on_answer)

    def _lost(self, control: Connection) -> None:
        if control is self._control:
            self._control = self._lease = None
            self.process.after(0.5 + self.world.rng.random(), self._reconnect)

    def _reconnect(self) -> None:
        if self._control is None:
            self._connect()

    def _on_answer(self, control: Connection, lease_id: int | None, key: bytes) -> None:
        if control is not self._control:
            return
        if lease_id is None:
            control.close(0)
            self._lost(control)
            return
        self._lease = (lease_id, key)
        self._sequence = 0
        self._heard_at = self.world.now

    def receive(self, data: bytes) -> None:
        """An acknowledgement reaches the machine."""
        self.process.receive(self.process.incarnation, self._on_ack, data)

    def _on_ack(self, data: bytes) -> None:
        if self._lease is not None and heartbeat.open_ack(self._lease[1], data) is not None:
            self._heard_at = self.world.now

    def _beat(self) -> None:
        self.process.after(BEAT_S, self._beat)
        if self._control is not None and self.world.now - self._heard_at > RECONNECT_S:
            self._connect()
        if self._lease is None or self._control is None:
            return
        self._sequence += 1
        beat = heartbeat.Beat(
            self._sequence,
            running=len(self._jobs),
            slots=self.slots,
            ms_since_step=12_000 if self.stuck and self._jobs else 0,
            ready=not (self.stuck and not self._jobs),
            draining=self.leaving,
        )
        lease_id, key = self._lease
        sent = (lease_id, self._sequence, heartbeat.seal_beat(key, lease_id, beat))
        self._network.datagram(self.link, self._host.arrive, *sent)
        if self.world.now - self._heard_at > UNHEARD_S:
            self._control.send(1, self._host.on_line, *sent)

    @property
    def idle(self) -> bool:
        return not self._jobs

    def leave(self) -> None:
        """Go gracefully: drain, finish what runs, then end."""
        self.leaving = True
        self._leave_when_idle(self.world.now + 20.0)

    def _leave_when_idle(self, give_up_at: float) -> None:
        if self._jobs and self.world.now < give_up_at:
            self.process.after(0.5, self._leave_when_idle, give_up_at)
        elif self.process.up:
            self.kill()
