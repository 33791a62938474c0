"""The balancer of the simulation: a thin shell around the real registry, router, queue and exchanges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from balancer import errors
from balancer.admission.queue import Waiter, WaitQueue
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.ports import Receiver
from balancer.exchange.timeline import Limits
from balancer.pool.backend import BackendSpec
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import BeatStatus, Reason, Registered, Transition
from balancer.request import Request
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from balancer.wire import heartbeat, openai
from tests.sim.engine import Job, SimBackend
from tests.sim.network import Connection, Link, Network
from tests.sim.world import Handler, Process, World

TICK_S = 0.25
LIMITS = Limits(first_token_s=20.0, between_tokens_s=10.0, queue_s=30.0, request_s=60.0)
MAX_WAITERS = 32


class Witness(Protocol):
    """Who checks what the balancer does."""

    def asked(self, spec: BackendSpec) -> None: ...
    def changed(self, transitions: Iterable[Transition]) -> None: ...


class WatchedQueue(WaitQueue):
    """Can be looked into."""

    def waiting(self) -> list[Waiter]:
        return list(self._waiters)


FIRST, LAST = "Once ", "upon a time."
"""Every answer: a first piece, then the rest."""


class SimCall:
    """One request at one backend, over a connection of its own. It says what was not said before."""

    def __init__(self, spec: BackendSpec, request: Request, connection: Connection, receiver: Receiver) -> None:
        self._name = spec.name
        self._id = request.id
        said = request.body.get("continue_from", {"text": ""})["text"]
        self._first = "" if said else FIRST
        self._connection = connection
        self._receiver = receiver
        self._over = False
        connection.on_close[0] = self._broken

    def first(self) -> None:
        self._receiver.on_events(openai.text_event("chat", self._id, "m", 0, self._first))

    def last(self) -> None:
        last = openai.chunk_event("chat", self._id, "m", 0, [openai.streamed_choice("chat", LAST, None)])
        self._receiver.on_events(last + openai.final_events("chat", self._id, "m", 0, "stop", None))
        if not self._over:
            self.cancel()
            self._receiver.on_end()

    def busy(self) -> None:
        self.cancel()
        self._receiver.on_failure(errors.backend_busy(self._name, 1.0))

    def _broken(self) -> None:
        if not self._over:
            self._over = True
            self._receiver.on_failure(errors.backend_failed(self._name, "connection closed"))

    def cancel(self) -> None:
        self._over = True
        self._connection.close(0)

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class SimBalancer:
    """Boots, beats its tick, registers, hears beats, asks backends."""

    def __init__(self, world: World, network: Network, policy: str) -> None:
        self.process = Process(world, "balancer")
        self.backends: Mapping[str, SimBackend] = {}
        self.witness: Witness
        self.stalls: list[tuple[float, float]] = []
        """When it was frozen: from, to."""
        self.arrived: dict[int, tuple[int, float]] = {}
        """By lease: the highest sequence that reached this machine, and when."""
        self._world = world
        self._network = network
        self._policy = policy
        self._boot()

    def time(self) -> float:
        return self._world.now

    def _boot(self) -> None:
        world = self._world
        self.registry = Registry(tick_s=TICK_S, first_lease_id=1 + world.rng.getrandbits(32))
        self.queue = WatchedQueue(MAX_WAITERS, 1 << 20)
        self.dispatcher = Dispatcher(
            registry=self.registry,
            router=Router(make_policy(self._policy), world.rng),
            queue=self.queue,
            upstreams={"native": self},
            clock=self,
            unix_time=lambda: 0,
            limits=LIMITS,
        )
        self._controls: dict[Connection, tuple[int, Link]] = {}
        self._links: dict[int, Link] = {}
        self.process.after(TICK_S, self._tick)

    def restart(self) -> None:
        """Die with all that was under way, and start from nothing."""
        self.process.die()
        self._network.close_all(self.process)
        self.process.start()
        self._boot()

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.stalls.append((self.process.changed_at, self._world.now))
        self.process.thaw()

    def stalled_since(self, start: float) -> float:
        """How long it stood still from `start` until now."""
        return sum(max(0.0, end - max(start, begin)) for begin, end in self.stalls)

    def ask(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> SimCall:
        self.witness.asked(spec)
        backend = self.backends[spec.name]
        connection = self._network.connect(backend.link, self.process, backend.process)
        call = SimCall(spec, request, connection, receiver)
        job = Job(connection, request.body["duration_s"], call.first, call.last, call.busy)
        connection.send(1, backend.serve, job)
        return call

    def on_hello(self, connection: Connection, challenge: Handler) -> None:
        connection.send(0, challenge, connection)

    def on_register(self, connection: Connection, link: Link, spec: BackendSpec, answer: Handler) -> None:
        key = f"key of {spec.instance}".encode()
        registered = self.registry.register(spec, self._world.now, key=key)
        if not isinstance(registered, Registered):
            connection.send(0, answer, connection, None, b"")
            return
        self._controls[connection] = (registered.lease_id, link)
        self._links[registered.lease_id] = link
        connection.send(0, answer, connection, registered.lease_id, key)
        self.follow(registered.transitions)
        if registered.superseded is not None:
            self._close_control(registered.superseded)
        self.queue.pump()

    def on_control_closed(self, connection: Connection) -> None:
        lease_id, _ = self._controls.pop(connection, (0, None))
        self._links.pop(lease_id, None)
        self.follow(self.registry.leave(lease_id, self._world.now))

    def arrive(self, lease_id: int, sequence: int, data: bytes) -> None:
        """A datagram reaches the machine, whether its process runs or not."""
        self._note(lease_id, sequence)
        self.process.receive(self.process.incarnation, self.on_datagram, data)

    def on_line(self, lease_id: int, sequence: int, data: bytes) -> None:
        """A beat comes over the control connection."""
        self._note(lease_id, sequence)
        self.on_datagram(data)

    def _note(self, lease_id: int, sequence: int) -> None:
        if sequence > self.arrived.get(lease_id, (0, 0.0))[0]:
            self.arrived[lease_id] = (sequence, self._world.now)

    def on_datagram(self, data: bytes) -> None:
        head = heartbeat.peek(data)
        member = self.registry.member(head.lease_id) if head else None
        beat = heartbeat.open_beat(member.key, data) if member else None
        if member is None or beat is None:
            return
        load = Load(
            running=beat.running,
            slots=beat.slots,
            ms_since_step=beat.ms_since_step,
            ready=beat.ready,
            draining=beat.draining,
        )
        result = self.registry.beat(member.lease_id, beat.sequence, load, self._world.now)
        if result.status is BeatStatus.ACCEPTED:
            backend = self.backends[member.spec.name]
            ack = heartbeat.seal_ack(member.key, member.lease_id, beat.sequence)
            self._network.datagram(self._links[member.lease_id], backend.receive, ack)
        self.follow(result.transitions)

    def follow(self, transitions: tuple[Transition, ...]) -> None:
        if not transitions:
            return
        self.witness.changed(transitions)
        self.dispatcher.pool_changed(transitions)
        for transition in transitions:
            if transition.reason is Reason.FORGOTTEN:
                self._close_control(transition.lease_id)

    def _close_control(self, lease_id: int) -> None:
        """Its agent will connect anew."""
        for connection, (of, _) in list(self._controls.items()):
            if of == lease_id:
                del self._controls[connection]
                del self._links[lease_id]
                connection.close(1)

    def _tick(self) -> None:
        self.process.after(TICK_S, self._tick)
        now = self._world.now
        self.follow(self.registry.advance(now))
        self.dispatcher.advance(now)
