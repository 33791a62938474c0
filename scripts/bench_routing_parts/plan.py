"""Who asks what and when, drawn beforehand from a seed: the same for every balancer, live and simulated.

A conversation begins at its time (open loop, Poisson); its further turns come when the one before is answered and its
user has thought.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.workloads import length, warming

PREFIX_TOKENS = 6000
TENANTS = 150
MANY_TENANTS = 800
ZIPF = 0.8
SYSTEM_PROMPTS = 4
SYSTEM_TOKENS = 800
TURNS_MEAN = 8
TURN_S = 12.0
"""From one turn of a chat to the next: an answer, and a user who thinks for some ten seconds."""


class Turn(NamedTuple):
    """What the user adds, how long the answer will be, and how long the user thinks about it."""

    prompt_tokens: int
    answer_tokens: int
    think_s: float = 0.0


class Conversation(NamedTuple):
    """``shared`` is the number of a text of ``shared_tokens`` with which others begin, too."""

    at: float
    number: int
    shared: int
    shared_tokens: int
    turns: Sequence[Turn]


Plan = list[Conversation]


class World(Protocol):
    """Where a plan is carried out: the simulator, or real engines behind a balancer."""

    @property
    def clock(self) -> Clock: ...

    def ask(self, conversation: Conversation, turn: int, answered: Callable[[], None]) -> None:
        """Ask now; ``answered`` is called when the answer is complete, and never if none comes."""
        ...


def carry_out(plan: Plan, world: World) -> None:
    """Put it on the world's clock."""
    for conversation in plan:
        world.clock.at(conversation.at, _ask, world, conversation, 0)


def _ask(world: World, conversation: Conversation, turn: int) -> None:
    def answered() -> None:
        if turn + 1 < len(conversation.turns):
            world.clock.after(conversation.turns[turn].think_s, _ask, world, conversation, turn + 1)

    world.ask(conversation, turn, answered)


def shared(tenants: int, zipf: float, warms: float) -> Callable[[random.Random, float, float], Plan]:
    """One question each on a tenant's prefix, by Zipf's law (0: equally often).

    Before, for ``warms`` of the time, each prefix is asked once, gently.
    """
    ranks = list(accumulate((1 + rank) ** -zipf for rank in range(tenants)))

    def plan(rng: random.Random, rate: float, seconds: float) -> Plan:
        warm_s = warms * seconds
        full = [
            (warm_s + at, rng.choices(range(tenants), cum_weights=ranks)[0])
            for at in _arrivals(rng, rate, seconds - warm_s)
        ]
        return [
            Conversation(at, number, tenant, PREFIX_TOKENS, [_question(rng)])
            for number, (at, tenant) in enumerate([*warming(tenants, warm_s), *full])
        ]

    return plan


def _question(rng: random.Random) -> Turn:
    return Turn(length(rng, 150, 0.5, 16, 1000), length(rng, 150, 0.5, 16, 600))


def chats(rng: random.Random, rate: float, seconds: float) -> Plan:
    """Growing chats of 2 to 14 turns on four system prompts; ``rate`` is of turns.

    Those that are under way at the beginning start within the first tenth, each somewhere in its middle.
    """
    found: Plan = []
    began = [0.1 * seconds * rng.random() for _ in range(round(rate * TURN_S))]
    for number, at in enumerate(sorted([*began, *_arrivals(rng, rate / TURNS_MEAN, seconds)])):
        turns = [_chat_turn(rng) for _ in range(rng.randint(2, 14))]
        if number < len(began):
            done = rng.randrange(len(turns))
            before = sum(turn.prompt_tokens + turn.answer_tokens for turn in turns[:done])
            first = turns[done]
            turns[: done + 1] = [first._replace(prompt_tokens=before + first.prompt_tokens)]
        found.append(Conversation(at, number, number % SYSTEM_PROMPTS, SYSTEM_TOKENS, turns))
    return found


def _chat_turn(rng: random.Random) -> Turn:
    return Turn(length(rng, 120, 0.9, 8, 3000), length(rng, 180, 0.6, 16, 800), rng.expovariate(0.1))


def _arrivals(rng: random.Random, rate: float, seconds: float) -> list[float]:
    """Poisson, from a source of its own, so that what is drawn for each does not move the others."""
    own, found, now = random.Random(rng.random()), list[float](), 0.0
    while True:
        now += own.expovariate(rate)
        if now >= seconds:
            return found
        found.append(now)


class Workload(NamedTuple):
    """``about`` is for people; ``rates`` in requests a second; ``warm_up`` is the part of ``seconds`` not counted."""

    about: str
    plan: Callable[[random.Random, float, float], Plan]
    rates: tuple[float, ...]
    seconds: float
    warm_up: float


WORKLOADS = {
    "shared": Workload("150 prefixes of 6,000 tokens", shared(TENANTS, 0.0, 0.3), (110.0,), 80.0, 0.4),
    "shared-many": Workload(
        "800 prefixes of 6,000 tokens, by Zipf's law", shared(MANY_TENANTS, ZIPF, 0.55), (48.0,), 130.0, 0.62
    ),
    "chats": Workload("growing chats", chats, (25.0, 15.0), 60.0, 0.4),
}
