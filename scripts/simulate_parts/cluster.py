"""Simulated engines and the balancers in front of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from balancer.pool.load import Load
from balancer.routing.policy import Policy
from scripts.simulate_parts.balancer import Balancer
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.engine import SLOTS, Engine
from scripts.simulate_parts.request import Ask, Asked

BEAT_S = 1.0


@dataclass(frozen=True)
class Setting:
    """How the cluster is made."""

    slowness: tuple[float, ...] = (1.0,) * 8
    """One for each engine."""
    slots: int = SLOTS
    beat_delay_s: float = 0.02
    """At most."""
    beat_loss: float = 0.01
    reports: bool = True
    """Whether beats tell the load; else only that the engine lives, and its slots."""
    streams: bool = True
    """Whether answers come token by token; else nobody sees when the first one was there."""
    balancers: int = 1
    """Side by side, none knows what the others do; each request comes to one of them by chance."""


class Cluster:
    """Call `ask`; `begun` and `ended` hold what became of it. `others` are the policies of further balancers."""

    def __init__(
        self, clock: Clock, policy: Policy, setting: Setting, rng: random.Random, others: Sequence[Policy] = ()
    ) -> None:
        self.clock = clock
        self.engines = [Engine(clock, self._first, self._end, slowness) for slowness in setting.slowness]
        self.ended: list[Asked] = []
        self.begun: list[Asked] = []
        self._rng = rng
        self._setting = setting
        self._then: dict[Asked, Callable[[Asked], None]] = {}
        self._balancers = [
            Balancer(clock, each, self.engines, setting.slots, random.Random(rng.random()), self._answered)
            for each in (policy, *others)
        ]
        for number in range(len(self.engines)):
            clock.after(BEAT_S * rng.random(), self._beat, number, 1)

    @property
    def queued(self) -> int:
        """Requests that found no slot at once."""
        return sum(balancer.queued for balancer in self._balancers)

    def ask(self, ask: Ask, then: Callable[[Asked], None] | None = None) -> None:
        """A request arrives now; `then` is called when its answer is complete."""
        asked = Asked(ask, self.clock.now)
        if len(self._balancers) > 1:
            asked.balancer = self._rng.randrange(len(self._balancers))
        self.begun.append(asked)
        if then is not None:
            self._then[asked] = then
        self._balancers[asked.balancer].ask(asked)

    def freeze(self, number: int) -> None:
        """An engine and its agent stand still: no tokens, no beats."""
        self.engines[number].freeze()

    def thaw(self, number: int) -> None:
        self.engines[number].thaw()

    def slow(self, number: int, slowness: float) -> None:
        """From its next step on an engine takes so many times as long."""
        self.engines[number].slowness = slowness

    def _first(self, asked: Asked) -> None:
        if self._setting.streams:
            self._balancers[asked.balancer].first(asked)

    def _end(self, asked: Asked) -> None:
        self._balancers[asked.balancer].end(asked)

    def _answered(self, asked: Asked) -> None:
        self.ended.append(asked)
        then = self._then.pop(asked, None)
        if then is not None:
            then(asked)

    def _beat(self, number: int, sequence: int) -> None:
        """What the agent sends to each balancer; some get lost, all come late."""
        self.clock.after(BEAT_S, self._beat, number, sequence + 1)
        engine, slots = self.engines[number], self._setting.slots
        if engine.frozen:
            return
        load = engine.load(slots) if self._setting.reports else Load(slots=slots)
        for balancer in self._balancers:
            if self._rng.random() >= self._setting.beat_loss:
                delay_s = self._setting.beat_delay_s * self._rng.random()
                self.clock.after(delay_s, balancer.hear, number, sequence, load)
