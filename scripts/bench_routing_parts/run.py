"""One run: fresh engines, a fresh balancer, one plan; and the same plan in the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import uvloop

from balancer.commands.admin_client import ask
from scripts.bench.accounting import Meter
from scripts.bench.targets import Running, Target, free_port
from scripts.bench_routing_parts.clients import Clients
from scripts.bench_routing_parts.live_clock import LiveClock
from scripts.bench_routing_parts.plan import Conversation, Plan, Workload, carry_out
from scripts.bench_routing_parts.targets import Contestant, contestant
from scripts.simulate import COMPARED
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.cluster import Cluster, Setting
from scripts.simulate_parts.report import Result, quantile, result
from scripts.simulate_parts.workloads import Text

ENGINES = 8
ENDS_WITHIN_S = 30.0
"""What runs when the last request has arrived may take so long, in the model's time."""
READY_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True)
class Course:
    """What is to be run."""

    workload: Workload
    rate: float
    seed: int
    seconds: float
    slower: float

    def plan(self) -> Plan:
        return self.workload.plan(random.Random(self.seed), self.rate, self.seconds)

    @property
    def counts_from(self) -> float:
        return self.workload.warm_up * self.seconds


@dataclass(frozen=True)
class Outcome:
    """``late_p99_ms``: by how much the clients' own clock went wrong, in the model's time."""

    found: Result
    balancer_ms: float = 0.0
    """CPU time of the balancer for each request."""
    added_p50_ms: float = 0.0
    """Of the time to the first token: what is not the engine's, in the model's time."""
    late_p99_ms: float = 0.0


def live(course: Course, name: str, policy: str) -> Outcome | None:
    """Through real sockets; ``None`` if it is not installed."""
    ports = [free_port() for _ in range(ENGINES)]
    runner = contestant(name, ports, policy)
    if runner.target.command is None:
        return None
    engines = [sys.executable, "-m", "scripts.bench_routing_parts.engines", "--slower", str(course.slower)]
    if runner.engines_beat:
        engines += ["--balancer", f"127.0.0.1:{runner.target.port}"]
    with ExitStack() as stack:
        stack.enter_context(Running([*engines, *map(str, ports)])).listens(ports[-1])
        balancer = stack.enter_context(Running(runner.target.command))
        balancer.listens(runner.target.port)
        _ready(runner)
        return uvloop.run(_drive(course, runner.target, balancer.pid))


def simulated(course: Course, policy: str) -> Outcome:
    """What the simulator says of the same plan."""
    clock = Clock()
    world = _Simulated(
        Cluster(clock, COMPARED[policy](), Setting((1.0,) * ENGINES), random.Random(course.seed)), course
    )
    carry_out(course.plan(), world)
    clock.run(course.seconds + ENDS_WITHIN_S)
    return Outcome(result(world.cluster.begun, ENGINES, course.counts_from, course.seconds))


class _Simulated:
    """A `World`."""

    def __init__(self, cluster: Cluster, course: Course) -> None:
        self.cluster = cluster
        self.clock = cluster.clock
        self._until = course.seconds
        self._texts: dict[int, Text] = {}

    def ask(self, conversation: Conversation, turn: int, answered: Callable[[], None]) -> None:
        if self.clock.now >= self._until:
            return
        number = conversation.number
        text = self._texts.get(number)
        if text is None:
            text = self._texts[number] = Text(number, conversation.shared, conversation.shared_tokens)
        wanted = conversation.turns[turn]
        ask = text.ask(str(conversation.shared), wanted.prompt_tokens, wanted.answer_tokens)
        self.cluster.ask(ask, lambda _: answered())


async def _drive(course: Course, target: Target, pid: int) -> Outcome:
    clock = LiveClock(course.slower)
    clients = Clients(target.port, clock, course.seconds)
    plan = course.plan()
    with Meter(pid) as meter:
        carry_out(plan, clients)
        await asyncio.sleep(course.slower * course.seconds)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(clients.all_ended(), course.slower * ENDS_WITHIN_S)
    clock.stop()
    clients.close()
    return Outcome(
        result(clients.begun, ENGINES, course.counts_from, course.seconds),
        1000 * meter.own_s / max(1, len(clients.begun)),
        1000 * quantile(sorted(clients.added_s), 0.5),
        1000 * quantile(sorted(clock.lates_s), 0.99),
    )


def _ready(runner: Contestant) -> None:
    """Until it knows all engines and has looked at each. Raises `TimeoutError`."""
    target, begin = runner.target, time.monotonic()
    while time.monotonic() - begin < READY_S:
        states = _ours(target.admin_port) if target.admin_port is not None else _sglangs(target.port)
        if states.count(True) == ENGINES:
            return
        time.sleep(POLL_S)
    raise TimeoutError(f"{target.name} did not find its engines within {READY_S:g} s")


def _ours(admin_port: int) -> Sequence[bool]:
    backends = ask(f"127.0.0.1:{admin_port}", "GET", "/status")["backends"]
    return [backend["state"] == "alive" for backend in backends]


def _sglangs(port: int) -> Sequence[bool]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/workers", timeout=5.0) as answer:
            return [worker["is_healthy"] for worker in json.load(answer)["workers"]]
    except OSError:
        return []
