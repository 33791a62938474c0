"""The balancer's own pool, ledger, breaker, queue and router in virtual time, in front of simulated engines."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from balancer.admission.queue import Waiter, WaitQueue
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.ledger import Lease
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered, Transition
from balancer.routing.policy import BYTES_A_TOKEN, Policy, RouteNeed
from balancer.routing.select import Router
from scripts.simulation.clock import Clock
from scripts.simulation.engine import RUNNING_MAX, Engine
from scripts.simulation.request import BLOCK_TOKENS, ROUTED_BLOCK_TOKENS, Ask, Asked

TICK_S = 0.25
BEAT_S = 1.0
MODEL = "m"
STRIDE = ROUTED_BLOCK_TOKENS // BLOCK_TOKENS


@dataclass(frozen=True)
class Setting:
    """How the cluster is made."""

    slowness: tuple[float, ...] = (1.0,) * 8
    """One for each engine."""
    slots: int = RUNNING_MAX
    beat_delay_s: float = 0.02
    """At most."""
    beat_loss: float = 0.01


class Cluster:
    """One balancer and its engines. Call `ask`; `ended` holds what became of it."""

    def __init__(self, clock: Clock, policy: Policy, setting: Setting, rng: random.Random) -> None:
        self.clock = clock
        self.engines = [Engine(clock, self._first, self._end, slowness) for slowness in setting.slowness]
        self.ended: list[Asked] = []
        self.begun: list[Asked] = []
        self.queued = 0
        """Requests that found no slot at once."""
        self._rng = rng
        self._setting = setting
        self._registry = Registry(max_backends=max(16, len(self.engines)), tick_s=TICK_S)
        self._ledger = self._registry.ledger
        self._router = Router(policy, rng)
        self._queue = WaitQueue(1 << 20, 1 << 40)
        self._leases: dict[Asked, Lease] = {}
        self._then: dict[Asked, Callable[[Asked], None]] = {}
        self._ledger.on_free = self._slot_freed
        self._lease_ids = [self._join(number) for number in range(len(self.engines))]
        for number in range(len(self.engines)):
            clock.after(BEAT_S * rng.random(), self._beat, number, 1)
        clock.after(TICK_S, self._tick)

    def ask(self, ask: Ask, then: Callable[[Asked], None] | None = None) -> None:
        """A request arrives now; `then` is called when its answer is complete."""
        asked = Asked(ask, self.clock.now)
        self.begun.append(asked)
        if then is not None:
            self._then[asked] = then
        self._route(asked)

    def freeze(self, number: int) -> None:
        """An engine and its agent stand still: no tokens, no beats."""
        self.engines[number].freeze()

    def thaw(self, number: int) -> None:
        self.engines[number].thaw()

    # --- requests

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
        ask, now = asked.ask, self.clock.now
        blocks = ask.blocks[STRIDE - 1 :: STRIDE] if self._router.wants_blocks else ()
        need = RouteNeed(
            MODEL,
            "chat",
            ask.prompt_tokens * BYTES_A_TOKEN,
            asked.excluded,
            session=ask.session,
            blocks=blocks,
        )
        lease = self._router.route(self._registry.view, self._ledger, need, now)
        if not isinstance(lease, Lease):
            return False
        asked.backend = lease.index
        asked.attempts += 1
        self._leases[asked] = lease
        self.engines[lease.index].ask(asked)
        return True

    def _first(self, asked: Asked) -> None:
        self._router.first_token(self._leases[asked], self._ledger, self.clock.now)

    def _end(self, asked: Asked) -> None:
        lease, now = self._leases.pop(asked), self.clock.now
        self._registry.breaker.succeeded(
            lease, now, ttft_s=asked.ttft_s, prompt_tokens=asked.ask.prompt_tokens, itl_s=asked.itl_s
        )
        self.ended.append(asked)
        self._router.ended(lease, self._ledger, now)
        lease.release()
        then = self._then.pop(asked, None)
        if then is not None:
            then(asked)

    def _slot_freed(self, index: int) -> None:
        if len(self._queue):
            self._queue.pump()

    # --- the pool

    def _join(self, number: int) -> int:
        spec = BackendSpec(
            name=f"engine-{number}",
            kind="native",
            host="127.0.0.1",
            port=1 + number,
            models=(ModelInfo(MODEL),),
            endpoints=frozenset({"chat"}),
            slots=self._setting.slots,
            instance="1",
        )
        joined = self._registry.register(spec, self.clock.now)
        assert isinstance(joined, Registered) and joined.index == number
        self._hear(number, joined.lease_id, 0, Load(slots=self._setting.slots))
        return joined.lease_id

    def _beat(self, number: int, sequence: int) -> None:
        """What the agent sends; some get lost, all come late."""
        self.clock.after(BEAT_S, self._beat, number, sequence + 1)
        engine = self.engines[number]
        if engine.frozen or self._rng.random() < self._setting.beat_loss:
            return
        delay_s = self._setting.beat_delay_s * self._rng.random()
        self.clock.after(delay_s, self._heard, number, sequence, engine.load(self._setting.slots))

    def _heard(self, number: int, sequence: int, load: Load) -> None:
        self._hear(number, self._lease_ids[number], sequence, load)

    def _hear(self, number: int, lease_id: int, sequence: int, load: Load) -> None:
        result = self._registry.beat(lease_id, sequence, load, self.clock.now)
        self._router.beat(number, self._ledger, self.clock.now)
        self._changed(result.transitions)

    def _tick(self) -> None:
        self.clock.after(TICK_S, self._tick)
        self._changed(self._registry.advance(self.clock.now))
        self._registry.breaker.take_events()

    def _changed(self, transitions: tuple[Transition, ...]) -> None:
        """Requests of a backend that is declared dead go to another one at once."""
        for transition in transitions:
            if transition.ends_exchanges:
                lost = [asked for asked, lease in self._leases.items() if lease.index == transition.index]
                for asked in lost:
                    lease = self._leases.pop(asked)
                    self.engines[lease.index].cancel(asked)
                    self._router.ended(lease, self._ledger, self.clock.now)
                    lease.release()
                    self._route(asked, again=True)
        if transitions:
            self._queue.pump()
