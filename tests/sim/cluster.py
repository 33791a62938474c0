"""A whole cluster in one seed: clients, a balancer, backends, what goes wrong, and what must hold all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from balancer.pool.backend import BackendSpec, State
from balancer.pool.detector import NATIVE
from balancer.pool.transition import Reason, Transition
from balancer.request import Request
from balancer.routing.eligible import eligible
from balancer.routing.need import RouteNeed
from balancer.routing.panic import is_panic
from balancer.routing.policies import POLICIES
from tests.sim.balancer import TICK_S, SimBalancer
from tests.sim.client import Client
from tests.sim.engine import SimBackend
from tests.sim.network import MAX_DELAY_S, MAX_LATE_S, Link, Network
from tests.sim.world import World

DURATION_S = 600.0
REQUESTS_END_S = 520.0
CHAOS_ENDS_S = 530.0
BACK_WITHIN_S = 8.0
"""A backend that runs and is connected must be in service again within this time."""
SLACK_S = 0.1


class Cluster:
    """One run. Every check is an assertion at the instant at which it fails."""

    def __init__(self, seed: int) -> None:
        self.world = world = World(seed)
        rng = world.rng
        network = Network(world)
        self.counts: Counter[str] = Counter()
        self.balancer = SimBalancer(world, network, rng.choice(sorted(POLICIES)))
        self.balancer.witness = self
        self.start = world.now
        rough = rng.random() < 0.5
        self.backends = [
            SimBackend(
                world,
                network,
                self.balancer,
                number,
                slots=rng.randint(1, 4),
                weight=rng.choice([1.0, 1.0, 2.0]),
                link=Link(0.2 * rng.random(), 0.05, 0.05) if rough else Link(),
            )
            for number in range(rng.randint(2, 4))
        ]
        self.balancer.backends = {backend.name: backend for backend in self.backends}
        self._clients: list[Client] = []
        self._out_since: dict[str, float] = {}
        self._rate = rng.choice([0.4, 0.8, 1.6])

    def run(self) -> None:
        world, rng = self.world, self.world.rng
        for backend in self.backends:
            backend.start()
            for mean_s, trouble in (
                (120, self._crash),
                (100, self._freeze),
                (150, self._cut),
                (200, self._drain),
                (200, self._stick),
                (250, self._leave),
            ):
                self._often(mean_s, trouble, backend)
        self._often(120, self._freeze_balancer)
        self._often(400, self._restart_balancer)
        world.after(1.0, self._arrive)
        world.after(1.0 + 0.001 * rng.random(), self._watch)
        world.run(self.start + CHAOS_ENDS_S)
        self._calm()
        world.run(self.start + DURATION_S)
        self._check_the_end()

    # --- what clients do

    def _arrive(self) -> None:
        rng, world = self.world.rng, self.world
        if world.now > self.start + REQUESTS_END_S:
            return
        world.after(rng.expovariate(self._rate), self._arrive)
        client = Client(len(self._clients), self.counts)
        self._clients.append(client)
        self.counts["requests"] += 1
        request = Request(
            id=str(client.number),
            tenant="local",
            endpoint="chat",
            body={"duration_s": min(rng.expovariate(0.5), 10.0)},
            prompt_bytes=100,
            model="m",
        )
        self.balancer.process.receive(self.balancer.process.incarnation, self._begin, request, client)

    def _begin(self, request: Request, client: Client) -> None:
        rng = self.world.rng
        exchange = self.balancer.dispatcher.begin(request, client)
        if exchange is not None and rng.random() < 0.05:

            def leave() -> None:
                if client.ended is None:
                    exchange.cancel()
                    client.end("cancelled")

            self.balancer.process.after(5.0 * rng.random(), leave)

    # --- what goes wrong

    def _often(self, mean_s: float, trouble: Any, *args: Any) -> None:
        def happen() -> None:
            if self.world.now < self.start + CHAOS_ENDS_S:
                trouble(*args)
                self._often(mean_s, trouble, *args)

        self.world.after(self.world.rng.expovariate(1 / mean_s), happen)

    def _crash(self, backend: SimBackend) -> None:
        if backend.process.up:
            self.counts["crashes"] += 1
            backend.kill()
        self.world.after(0.5 + 10.0 * self.world.rng.random(), self._revive, backend)

    def _revive(self, backend: SimBackend) -> None:
        if not backend.process.up:
            backend.start()

    def _freeze(self, backend: SimBackend) -> None:
        if backend.process.runs:
            self.counts["freezes"] += 1
            backend.process.freeze()
            long = self.world.rng.random() < 0.1
            self.world.after(80.0 if long else 20.0 * self.world.rng.random(), self._thaw, backend)

    def _thaw(self, backend: SimBackend) -> None:
        if backend.process.up and backend.process.frozen:
            backend.process.thaw()

    def _cut(self, backend: SimBackend) -> None:
        self.counts["cuts"] += 1
        backend.link.cut(self.world.now, 15.0 * self.world.rng.random())

    def _drain(self, backend: SimBackend) -> None:
        if not self.balancer.process.runs or self.balancer.registry.named(backend.name) is None:
            return
        self.counts["drains"] += 1
        self.balancer.follow(self.balancer.registry.drain(backend.name, self.world.now))
        backend.drained = True
        self.world.after(20.0 * self.world.rng.random(), self._undrain, backend)

    def _undrain(self, backend: SimBackend) -> None:
        if not self.balancer.process.runs or self.balancer.registry.named(backend.name) is None:
            self.world.after(1.0, self._undrain, backend)
            return
        self.balancer.follow(self.balancer.registry.undrain(backend.name, self.world.now))
        backend.drained = False
        backend.ready_since = self.world.now

    def _stick(self, backend: SimBackend) -> None:
        backend.stick(True)
        self.world.after(20.0 * self.world.rng.random(), backend.stick, False)

    def _leave(self, backend: SimBackend) -> None:
        if backend.process.runs:
            self.counts["leaves"] += 1
            backend.leave()
            self.world.after(25.0, self._revive, backend)

    def _freeze_balancer(self) -> None:
        if self.balancer.process.runs:
            self.counts["stalls"] += 1
            self.balancer.freeze()
            self.world.after(1.0 + 19.0 * self.world.rng.random(), self._thaw_balancer)

    def _thaw_balancer(self) -> None:
        if self.balancer.process.frozen:
            self.balancer.thaw()

    def _restart_balancer(self) -> None:
        if self.balancer.process.frozen:
            return
        self.counts["balancer restarts"] += 1
        self.balancer.restart()
        for backend in self.backends:
            backend.drained = False
        for client in self._clients:
            if client.ended is None:
                client.end("connection lost")

    def _calm(self) -> None:
        """All that went wrong ends; a link that is cut is whole again within 15 s."""
        self._thaw_balancer()
        for backend in self.backends:
            self._thaw(backend)
            self._revive(backend)
            backend.stick(False)

    # --- what must hold

    def asked(self, spec: BackendSpec) -> None:
        """The balancer sends a request to this backend now."""
        now, balancer = self.world.now, self.balancer
        backend = balancer.backends[spec.name]
        member = balancer.registry.named(spec.name)
        assert member is not None
        assert member.state in (State.ALIVE, State.SUSPECT), f"{spec.name} is {member.state}"
        assert balancer.registry.ledger.in_flight[member.index] <= backend.slots, f"{spec.name} has no slot"
        for since, bound_s in self._reason_to_be_out(backend):
            late_s = now - since - balancer.stalled_since(since) - bound_s
            assert late_s <= SLACK_S, f"{spec.name} is used {late_s:.2f} s after its deadline"

    def _reason_to_be_out(self, backend: SimBackend) -> Iterable[tuple[float, float]]:
        """Since when it can't answer, and how long the balancer may take to know."""
        silence_s = NATIVE.dead_after_s + 2 * TICK_S + MAX_LATE_S
        # What it sent before still comes when a cut of its link ends.
        since = max(backend.process.changed_at, backend.link.cut_until)
        if not backend.link.is_up(self.world.now):
            yield backend.link.cut_at, silence_s
        elif not backend.process.up:
            yield since, 2 * MAX_DELAY_S  # its control connection closed behind it
        elif backend.process.frozen:
            yield since, silence_s

    def changed(self, transitions: Iterable[Transition]) -> None:
        """Nobody is declared dead while its beats arrive, however long the balancer itself stood still."""
        for transition in transitions:
            self.counts[f"{transition.reason}"] += 1
            if transition.new is State.DEAD and transition.reason is Reason.SILENT:
                _, arrived_at = self.balancer.arrived.get(transition.lease_id, (0, 0.0))
                silent_s = self.world.now - arrived_at
                assert silent_s >= NATIVE.dead_after_s - SLACK_S, f"{transition.name} died {silent_s:.2f} s silent"

    def _watch(self) -> None:
        self.world.after(1.0, self._watch)
        if self.balancer.process.runs:
            for backend in self.backends:
                self._check_is_back(backend)
            self._check_nobody_waits_beside_a_free_slot()
        else:
            self._out_since.clear()

    def _check_is_back(self, backend: SimBackend) -> None:
        now, balancer = self.world.now, self.balancer
        member = balancer.registry.named(backend.name)
        well = (
            backend.process.runs
            and backend.link.is_up(now)
            and not (backend.stuck or backend.leaving or backend.drained)
        )
        if not well or (member is not None and member.state in (State.ALIVE, State.SUSPECT)):
            self._out_since.pop(backend.name, None)
            return
        since = self._out_since.setdefault(backend.name, now)
        assert now - since <= BACK_WITHIN_S, f"{backend.name} is well and out for {now - since:.1f} s"

    def _check_nobody_waits_beside_a_free_slot(self) -> None:
        now, registry = self.world.now, self.balancer.registry
        if now < registry.ledger.busy_horizon + 2 * TICK_S:
            return
        for waiter in self.balancer.queue.waiting():
            (excluded,) = (part for part in waiter.need if isinstance(part, frozenset))  # type: ignore[attr-defined]
            need = RouteNeed("m", "chat", 100, excluded)  # all of them can go on with an answer, too
            group = registry.view.group("m", "chat")
            gated = not is_panic(group, registry.ledger)
            for tier in group.tiers:
                assert not len(eligible(tier, registry.ledger, need, now, gated)), "a request waits beside a free slot"

    def _check_the_end(self) -> None:
        lost = [client.number for client in self._clients if client.ended is None]
        assert not lost, f"never ended: {lost}"
        assert self.balancer.dispatcher.active == 0
        assert len(self.balancer.queue) == 0
        ledger = self.balancer.registry.ledger
        assert ledger.total_in_flight() == 0, "a lease leaked"
        assert (ledger.in_flight_np == 0).all()
        states = {backend.spec.name: backend.state for backend in self.balancer.registry.view.backends}
        assert set(states) == set(self.balancer.backends)
        assert set(states.values()) <= {State.ALIVE, State.SUSPECT}, states
        assert all(backend.idle for backend in self.backends)
