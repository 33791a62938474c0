"""One balancer in virtual time: the real pool, ledger, breaker, queue and router, in front of simulated engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from balancer.admission.queue import Waiter, WaitQueue
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.ledger import Lease
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered, Transition
from balancer.rng import Rng
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.policy import Policy
from balancer.routing.select import Router
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.engine import Engine
from scripts.simulate_parts.request import Asked, routed_blocks, runs_of

TICK_S = 0.25
MODEL = "m"


class Balancer:
    """Knows all engines. `ended` is called with what is answered."""

    def __init__(
        self,
        clock: Clock,
        policy: Policy,
        engines: Sequence[Engine],
        slots: int,
        rng: Rng,
        ended: Callable[[Asked], None],
    ) -> None:
        self.queued = 0
        """Requests that found no slot at once."""
        self._clock = clock
        self._engines = engines
        self._ended = ended
        self._registry = Registry(max_backends=max(16, len(engines)), tick_s=TICK_S)
        self._ledger = self._registry.ledger
        self._router = Router(policy, rng)
        self._queue = WaitQueue(1 << 20, 1 << 40)
        self._leases: dict[Asked, Lease] = {}
        self._ledger.on_free = self._slot_freed
        self._lease_ids = [self._join(number, slots) for number in range(len(engines))]
        clock.after(TICK_S, self._tick)

    def ask(self, asked: Asked) -> None:
        """A request arrives."""
        self._route(asked)

    def first(self, asked: Asked) -> None:
        """Its first token."""
        self._router.first_token(self._leases[asked], self._ledger, self._clock.now)

    def end(self, asked: Asked) -> None:
        """Its answer is complete."""
        lease, now = self._leases.pop(asked), self._clock.now
        prompt_tokens = asked.ask.prompt_tokens
        self._registry.breaker.succeeded(
            lease, now, ttft_s=asked.ttft_s, prompt_tokens=prompt_tokens, itl_s=asked.itl_s
        )
        self._router.ended(lease, self._ledger, now)
        lease.release()
        self._ended(asked)

    def hear(self, number: int, sequence: int, load: Load) -> None:
        """A beat of an engine's agent."""
        result = self._registry.beat(self._lease_ids[number], sequence, load, self._clock.now)
        self._router.beat(number, self._ledger, self._clock.now)
        self._changed(result.transitions)

    def _route(self, asked: Asked, *, again: bool = False) -> None:
        if (len(self._queue) and not again) or not self._serve(asked):
            self.queued += 1
            ask = asked.ask
            waiter = Waiter(
                serve=lambda: self._serve(asked),
                expire=lambda now: None,
                told=lambda position: None,
                need=asked.excluded,
                size_bytes=1,
                deadline=float("inf"),
                tenant=ask.tenant,
                tokens=ask.prompt_tokens + ask.output_tokens,
            )
            self._queue.push(waiter, front=again)
            self._queue.pump()

    def _serve(self, asked: Asked) -> bool:
        ask = asked.ask
        blocks = routed_blocks(runs_of(ask.blocks)) if self._router.wants_blocks else ()
        prompt_bytes = ask.prompt_tokens * BYTES_A_TOKEN
        need = RouteNeed(MODEL, "chat", prompt_bytes, asked.excluded, session=ask.session, blocks=blocks)
        lease = self._router.route(self._registry.view, self._ledger, need, self._clock.now)
        if not isinstance(lease, Lease):
            return False
        asked.backend = lease.index
        asked.attempts += 1
        self._leases[asked] = lease
        self._engines[lease.index].ask(asked)
        return True

    def _slot_freed(self, index: int) -> None:
        if len(self._queue):
            self._queue.pump()

    def _join(self, number: int, slots: int) -> int:
        spec = BackendSpec(
            name=f"engine-{number}",
            kind="native",
            host="127.0.0.1",
            port=1 + number,
            models=(ModelInfo(MODEL),),
            endpoints=frozenset({"chat"}),
            slots=slots,
            instance="1",
        )
        joined = self._registry.register(spec, self._clock.now)
        assert isinstance(joined, Registered) and joined.index == number
        self._registry.beat(joined.lease_id, 0, Load(slots=slots), self._clock.now)
        return joined.lease_id

    def _tick(self) -> None:
        self._clock.after(TICK_S, self._tick)
        self._changed(self._registry.advance(self._clock.now))
        self._registry.breaker.take_events()

    def _changed(self, transitions: tuple[Transition, ...]) -> None:
        """Requests of a backend that is declared dead go to another one at once."""
        for transition in transitions:
            if transition.ends_exchanges:
                lost = [asked for asked, lease in self._leases.items() if lease.index == transition.index]
                for asked in lost:
                    lease = self._leases.pop(asked)
                    self._engines[lease.index].cancel(asked)
                    self._router.ended(lease, self._ledger, self._clock.now)
                    lease.release()
                    self._route(asked, again=True)
        if transitions:
            self._queue.pump()
