"""The waiting queue in virtual time: what a tenant feels of another one's flood. Fault 52."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from balancer.admission.queue import Waiter, WaitQueue

TOKENS_PER_S = 100.0


@dataclass
class World:
    """So many slots, each of which works off `TOKENS_PER_S`."""

    slots: int
    queue: WaitQueue
    now: float = 0.0
    took: dict[str, list[float]] = field(default_factory=dict)
    """By tenant: seconds from the request to the end of its answer."""
    waited: dict[str, list[float]] = field(default_factory=dict)
    worked_s: float = 0.0
    """Of all slots together."""
    refused: Counter[str] = field(default_factory=Counter)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbered: int = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._numbered += 1
        heapq.heappush(self._events, (when, self._numbered, what))

    def run(self) -> None:
        while self._events:
            self.now, _, what = heapq.heappop(self._events)
            what()

    def ask(self, tenant: str, tokens: int) -> None:
        came = self.now

        def serve() -> bool:
            if not self.slots:
                return False
            self.slots -= 1
            self.waited.setdefault(tenant, []).append(self.now - came)
            self.at(self.now + tokens / TOKENS_PER_S, finish)
            return True

        def finish() -> None:
            self.slots += 1
            self.worked_s += tokens / TOKENS_PER_S
            self.took.setdefault(tenant, []).append(self.now - came)
            self.queue.pump()

        def refuse() -> None:
            self.refused[tenant] += 1

        waiter = Waiter(
            serve, lambda now: None, lambda n: None, "m", tokens, 1e9, tenant=tenant, tokens=tokens, evict=refuse
        )
        if not self.queue.push(waiter):
            refuse()
        self.queue.pump()


def arrivals(rng: random.Random, per_s: float, seconds: float) -> Iterator[float]:
    """A Poisson process."""
    when = rng.expovariate(per_s)
    while when < seconds:
        yield when
        when += rng.expovariate(per_s)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def world(light: float, other: float, seed: int, other_tokens: tuple[int, int] = (20, 180)) -> World:
    """Two tenants on eight slots for 1,000 s; ``light`` and ``other`` are their loads in parts of what is there."""
    found = World(8, WaitQueue(256, 10**9))
    for tenant, load, (least, most) in (("light", light, (20, 180)), ("other", other, other_tokens)):
        rng = random.Random(f"{seed} {tenant}")
        requests_per_s = load * found.slots * TOKENS_PER_S / ((least + most) / 2)
        for when in arrivals(rng, requests_per_s, 1000.0):
            found.at(when, partial(found.ask, tenant, rng.randint(least, most)))
    found.run()
    return found


Figures = Callable[[str, object], None]


@pytest.mark.parametrize("load", [0.1, 0.2, 0.3, 0.4])
def test_a_tenant_s_p99_at_most_doubles_when_another_sends_ten_times_as_much(
    load: float, record_property: Figures
) -> None:
    """Fault 52."""
    normal, flooded = world(load, load, 1), world(load, 10 * load, 1)
    before_s, after_s = p99(normal.took["light"]), p99(flooded.took["light"])
    record_property("p99_s", (before_s, after_s))
    record_property("p99_waiting_s", (p99(normal.waited["light"]), p99(flooded.waited["light"])))
    record_property("p99_s_of_the_other", (p99(normal.took["other"]), p99(flooded.took["other"])))
    assert after_s <= 2 * before_s
    assert flooded.refused["light"] == 0
    assert p99(flooded.took["other"]) > 5 * after_s


def test_the_other_one_s_requests_may_be_ten_times_as_large_as_well(record_property: Figures) -> None:
    normal, flooded = world(0.3, 0.3, 2), world(0.3, 3.0, 2, other_tokens=(200, 1800))
    waits_s = p99(normal.waited["light"]), p99(flooded.waited["light"])
    record_property("p99_waiting_s", waits_s)
    assert waits_s[1] <= 1800 / TOKENS_PER_S / 2
    assert flooded.refused["light"] == 0


def test_a_flood_leaves_no_slot_idle() -> None:
    """Fault 27: whoever is refused or put out takes nothing from who is served."""
    flooded = world(0.3, 3.0, 3)
    assert flooded.worked_s >= 0.99 * 8 * flooded.now
