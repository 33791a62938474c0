"""A pool with a breaker, in which time passes when the test says so."""

from __future__ import annotations

from balancer.pool.breaker import BreakerEvent, BreakerStatus
from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.ledger import Lease
from balancer.pool.registry import Registry
from tests.balancer.pool.specs import READY, a_spec, join_alive


class World:
    """Backends a, b, c, ... of ten slots and one model, their beats going on; time goes in ticks of 0.25 s."""

    def __init__(self, names: str = "abc", limits: BreakerLimits | None = None, max_backends: int = 8) -> None:
        self.registry = Registry(max_backends=max_backends, breaker=limits)
        self.breaker, self.ledger = self.registry.breaker, self.registry.ledger
        self.now = 100.0
        self.beats = 1
        self.silent: set[str] = set()
        self.lease_ids = {n: join_alive(self.registry, a_spec(n, slots=10), self.now).lease_id for n in names}

    def index(self, name: str) -> int:
        member = self.registry.named(name)
        assert member is not None
        return member.index

    def lease(self, name: str) -> Lease:
        return self.ledger.lease(self.index(name))

    def fail(self, name: str, times: int = 5) -> list[BreakerEvent]:
        events: list[BreakerEvent] = []
        for _ in range(times):
            with self.lease(name) as lease:
                events += self.breaker.failed(lease, self.now)
        return events

    def succeed(self, name: str, times: int = 1, itl_s: float = 0.02) -> list[BreakerEvent]:
        events: list[BreakerEvent] = []
        for _ in range(times):
            with self.lease(name) as lease:
                events += self.breaker.succeeded(lease, self.now, ttft_s=0.1, prompt_tokens=1000, itl_s=itl_s)
        return events

    def wait(self, seconds: float) -> list[BreakerEvent]:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.25, end)
            self.beats += 1
            for name, lease_id in self.lease_ids.items():
                if name not in self.silent:
                    self.registry.beat(lease_id, self.beats, READY, self.now)
            self.registry.advance(self.now)
        return list(self.breaker.take_events())

    def state(self, name: str) -> BreakerStatus:
        return self.breaker.state_of(self.index(name), self.now)

    def gate(self, name: str) -> int:
        return self.ledger.gate[self.index(name)]
