"""What clients ask, drawn from a seed: a workload is a function that plans its arrivals on a cluster's clock."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from scripts.simulate_parts.cluster import Cluster, Setting
from scripts.simulate_parts.request import BLOCK_TOKENS, Ask, Asked, Run

Plan = Callable[[Cluster, random.Random, float, float], None]
"""Of a cluster, a source of chance, a rate and for how many seconds."""
WARM_RATE = 9.0
"""Prefixes of 6,000 tokens a second: eight engines can compute ten."""
OWN = 1 << 30
"""Numbers of texts that nobody shares begin here."""


class Text:
    """A text that grows, perhaps after a beginning that others share."""

    def __init__(self, number: int, shared: int = -1, shared_tokens: int = 0) -> None:
        self.tokens = shared_tokens
        self._number = number
        self._shared = (Run(shared, shared_tokens // BLOCK_TOKENS),) if shared >= 0 else ()
        self._shared_blocks = sum(run.blocks for run in self._shared)

    def runs(self) -> tuple[Run, ...]:
        """Of all whole blocks so far."""
        own = self.tokens // BLOCK_TOKENS - self._shared_blocks
        return (*self._shared, Run(OWN + self._number, own)) if own else self._shared

    def ask(self, tenant: str, prompt: int, answer: int) -> Ask:
        """The next turn: what the user adds, and how long the answer will be, which then belongs to the text."""
        self.tokens += prompt
        tokens, runs = self.tokens, self.runs()
        self.tokens += answer
        return Ask(tenant, str(self._number), tokens, answer, runs, self.runs())


def length(rng: random.Random, median: float, sigma: float, least: int, most: int) -> int:
    """Log-normal."""
    return min(most, max(least, round(median * math.exp(sigma * rng.gauss(0.0, 1.0)))))


def arrivals(
    cluster: Cluster,
    rng: random.Random,
    rate: float,
    seconds: float,
    come: Callable[[int], None],
) -> None:
    """Poisson: `come` is called with the number of each."""
    clock, begin = cluster.clock, cluster.clock.now

    def arrive(number: int) -> None:
        if clock.now < begin + seconds:
            come(number)
            clock.after(rng.expovariate(rate), arrive, number + 1)

    clock.after(rng.expovariate(rate), arrive, 0)


def warming(tenants: int, seconds: float) -> list[tuple[float, int]]:
    """When whose prefix is asked for the first time; if they are too many, those that are asked most often."""
    count = min(tenants, round(WARM_RATE * seconds))
    return [(seconds * turn / count, tenant) for turn, tenant in enumerate(reversed(range(count)))]


def shared(tenants: int, zipf: float, warms: float) -> Plan:
    """Tenants, each with a prefix of 6,000 tokens of its own, asked by Zipf's law (0: equally often).

    In the first `warms` of the time each prefix is asked once, at no more than `WARM_RATE`, the rarest first: caches
    start empty, and who would survive that at the full rate is chance.
    """
    ranks = list(accumulate((1 + rank) ** -zipf for rank in range(tenants)))

    def plan(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
        def ask(number: int, tenant: int) -> None:
            text = Text(number, tenant, 6000)
            cluster.ask(text.ask(str(tenant), length(rng, 150, 0.5, 16, 1000), length(rng, 150, 0.5, 16, 600)))

        def come(number: int) -> None:
            ask(tenants + number, rng.choices(range(tenants), cum_weights=ranks)[0])

        warm_s = warms * seconds
        for at, tenant in warming(tenants, warm_s):
            cluster.clock.after(at, ask, tenant, tenant)
        cluster.clock.after(warm_s, arrivals, cluster, rng, rate, seconds - warm_s, come)

    return plan


def turns(
    cluster: Cluster,
    rng: random.Random,
    number: int,
    text: Text,
    count: int,
    draw: Callable[[], tuple[int, int, float]],
) -> None:
    """One conversation: each turn comes when the one before is answered and the user, or the tool, is done."""

    def turn(left: int) -> None:
        prompt, answer, think_s = draw()

        def answered(_: Asked) -> None:
            if left > 1:
                cluster.clock.after(think_s, turn, left - 1)

        cluster.ask(text.ask(str(number % 16), prompt, answer), answered)

    turn(count)


def chats(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
    """Growing chats of 2 to 14 turns on four system prompts; users think for some ten seconds. `rate` is of turns."""

    def draw() -> tuple[int, int, float]:
        return length(rng, 120, 0.9, 8, 3000), length(rng, 180, 0.6, 16, 800), rng.expovariate(0.1)

    def come(number: int) -> None:
        turns(cluster, rng, number, Text(number, number % 4, 800), rng.randint(2, 14), draw)

    arrivals(cluster, rng, rate / 8, seconds, come)


def agents(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
    """Tool loops of 8 to 30 steps on a 3,000-token preamble: long results, short answers, hardly any pause."""

    def draw() -> tuple[int, int, float]:
        return length(rng, 500, 0.9, 30, 6000), length(rng, 60, 0.6, 10, 400), 0.2 + rng.expovariate(1.0)

    def come(number: int) -> None:
        turns(cluster, rng, number, Text(number, number % 6, 3000), rng.randint(8, 30), draw)

    arrivals(cluster, rng, rate / 19, seconds, come)


def independent(prompt: tuple[float, float, int, int], answer: tuple[float, float, int, int]) -> Plan:
    """Prompts that share nothing."""

    def plan(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
        first = len(cluster.begun) << 20  # nobody's text is another's, however often this is planned

        def come(number: int) -> None:
            cluster.ask(Text(first + number).ask("a", length(rng, *prompt), length(rng, *answer)))

        arrivals(cluster, rng, rate, seconds, come)

    return plan


SHORT = independent((60, 0.6, 8, 400), (120, 0.6, 16, 400))
VERY_MIXED = independent((400, 1.7, 16, 16_000), (100, 0.8, 8, 500))
MEDIUM = independent((600, 0.8, 32, 4000), (120, 0.6, 16, 400))


def bursts(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
    """Every 20 s, 2 s at six times the rate of the rest; the mean is `rate`."""
    calm = rate / 1.5
    MEDIUM(cluster, rng, calm, seconds)
    for begin in range(10, int(seconds), 20):
        cluster.clock.after(begin, MEDIUM, cluster, random.Random(rng.random()), 5 * calm, 2.0)


def frozen(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
    """One engine stands still for 20 s in the middle."""
    MEDIUM(cluster, rng, rate, seconds)
    cluster.clock.after(seconds / 2, cluster.freeze, 3)
    cluster.clock.after(seconds / 2 + 20.0, cluster.thaw, 3)


def slows(factor: float) -> Plan:
    """The first engine becomes slower after three tenths of the time; what is counted begins at four tenths."""

    def plan(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
        MEDIUM(cluster, rng, rate, seconds)
        cluster.clock.after(0.3 * seconds, cluster.slow, 0, factor)

    return plan


def flood(cluster: Cluster, rng: random.Random, rate: float, seconds: float) -> None:
    """Ten tenants share four fifths of `rate`; in the middle third another one sends as much as all of it."""

    def come(number: int) -> None:
        cluster.ask(Text(number).ask(str(number % 10), length(rng, 600, 0.8, 32, 4000), length(rng, 120, 0.6, 16, 400)))

    def flooding(number: int) -> None:
        cluster.ask(Text((1 << 20) + number).ask("flood", length(rng, 2000, 0.5, 32, 8000), 50))

    arrivals(cluster, rng, 0.8 * rate, seconds, come)
    cluster.clock.after(seconds / 3, arrivals, cluster, random.Random(rng.random()), rate, seconds / 3, flooding)


@dataclass(frozen=True)
class Workload:
    """`about` is for people; `rates` (requests a second) from easy to hard."""

    about: str
    plan: Plan
    rates: tuple[float, ...]
    setting: Setting = field(default_factory=Setting)
    seconds: float = 120.0


ONE_3X = Setting(slowness=(3.0,) + (1.0,) * 7)
TWO_BALANCERS = Setting(balancers=2)

WORKLOADS: dict[str, Workload] = {
    "shared": Workload("150 prefixes of 6,000 tokens", shared(150, 0.0, 0.25), (85, 90)),
    "shared-many": Workload(
        "800 prefixes of 6,000 tokens, by Zipf's law", shared(800, 0.8, 0.35), (30, 36, 42), seconds=280.0
    ),
    "chats": Workload("growing chats", chats, (15, 25), seconds=150.0),
    "agents": Workload("tool loops", agents, (30,), seconds=150.0),
    "short": Workload("short independent prompts", SHORT, (110,), seconds=60.0),
    "mixed-lengths": Workload("independent prompts of very mixed length", VERY_MIXED, (30, 32), seconds=150.0),
    "slow-3x": Workload("medium prompts, one engine 3x slower", MEDIUM, (40,), ONE_3X),
    "slows-10x": Workload(
        "medium prompts, one engine becomes 10x slower 10 s before", slows(10.0), (35,), seconds=100.0
    ),
    "bursts": Workload("medium prompts in bursts", bursts, (40,)),
    "frozen": Workload("medium prompts, one engine frozen for 20 s", frozen, (40,)),
    "flood": Workload("medium prompts, one tenant floods", flood, (30,), Setting(slots=32)),
    "two-mixed": Workload("mixed-lengths through two balancers", VERY_MIXED, (30,), TWO_BALANCERS, 150.0),
    "two-chats": Workload("growing chats through two balancers", chats, (25,), TWO_BALANCERS, 150.0),
    "two-shared": Workload("shared through two balancers", shared(150, 0.0, 0.25), (75,), TWO_BALANCERS),
    "silent": Workload("mixed-lengths, engines that report no load", VERY_MIXED, (30,), Setting(reports=False), 150.0),
    "thousand": Workload("short prompts, 1,000 engines", SHORT, (12_000,), Setting((1.0,) * 1000), 10.0),
}
