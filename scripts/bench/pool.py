"""What the pool costs: a decision among many backends, and a thousand of them beating once a second."""

from __future__ import annotations

import asyncio
import os
import random
import time
import timeit
from typing import cast

from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.detector import NATIVE
from balancer.pool.registry import Registry
from balancer.pool.transition import Refused
from balancer.routing.need import RouteNeed
from balancer.routing.policies import POLICIES, make_policy
from balancer.routing.select import Router
from balancer.wire import control
from balancer.wire.heartbeat import Beat, seal_beat
from scripts.bench.accounting import Meter
from scripts.bench.mock_engine import MODEL

POOLS = (16, 1000)
ROUNDS, CALLS = 50, 200
BEATING = 1000
ROUNDS_OF_BEATS = 5
ACKNOWLEDGED_SHARE = 0.9


def decisions() -> dict[str, dict[str, float]]:
    """Microseconds for a lease and its release, by policy and size of the pool; the best of many rounds."""
    rows: dict[str, dict[str, float]] = {}
    for name in POLICIES:
        for count in POOLS:
            rows.setdefault(name, {})[f"of_{count}"] = _decision(name, count)
    return rows


def _decision(policy: str, count: int) -> float:
    registry = Registry(tick_s=0.25)
    for number in range(count):
        spec = BackendSpec(
            name=f"b{number}",
            kind="native",
            host="127.0.0.1",
            port=1 + number,
            models=(ModelInfo(MODEL),),
            endpoints=frozenset({"chat"}),
            slots=16,
        )
        registered = registry.register(spec, 0.0, timings=NATIVE)
        assert not isinstance(registered, Refused)
        registry.probe_ok(registered.lease_id, 0.0)
    router, need = Router(make_policy(policy), random.Random(1)), RouteNeed(MODEL, "chat")

    def decide() -> None:
        found = router.route(registry.view, registry.ledger, need, 1.0)
        found.release()  # type: ignore[union-attr]

    return 1e6 * min(timeit.repeat(decide, number=CALLS, repeat=ROUNDS)) / CALLS


class Agents(asyncio.DatagramProtocol):
    """The UDP side of all agents: one after the other beats, evenly over the second, as many real ones would."""

    def __init__(self, leases: list[tuple[int, bytes]]) -> None:
        self.acknowledged = 0
        self._leases = leases
        self._sequence = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.acknowledged += 1

    async def beat(self) -> None:
        """Each once, in a second."""
        begin = time.monotonic()
        self._sequence += 1
        for number, (lease, key) in enumerate(self._leases):
            await asyncio.sleep(max(0.0, begin + number / len(self._leases) - time.monotonic()))
            self._transport.sendto(seal_beat(key, lease, Beat(self._sequence, running=number % 4, slots=4)))
        await asyncio.sleep(max(0.0, begin + 1.0 - time.monotonic()))


async def beats(port: int, pid: int) -> tuple[float, float]:
    """CPU share (1.0 is a core) of a balancer that a thousand agents beat to, and of the same without any.

    The first round of beats makes the backends known to be alive and is not counted. Raises `RuntimeError` on a
    refusal, or if the balancer hears too few of the beats.
    """
    with Meter(pid) as alone:
        await asyncio.sleep(ROUNDS_OF_BEATS)
    registered = [await _register(port, number) for number in range(BEATING)]
    agents = Agents([(lease, key) for lease, key, _ in registered])
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: agents, remote_addr=("127.0.0.1", port)
    )
    await agents.beat()
    before = agents.acknowledged
    with Meter(pid) as meter:
        begin = time.monotonic()
        for _ in range(ROUNDS_OF_BEATS):
            await agents.beat()
        taken_s = time.monotonic() - begin
    transport.close()
    for *_, writer in registered:
        writer.close()
    heard = agents.acknowledged - before
    if heard < ACKNOWLEDGED_SHARE * ROUNDS_OF_BEATS * BEATING:
        raise RuntimeError(f"only {heard} beats of {ROUNDS_OF_BEATS * BEATING} were acknowledged")
    return meter.own_s / taken_s, alone.own_s / ROUNDS_OF_BEATS


async def _register(port: int, number: int) -> tuple[int, bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    hello = control.Register(
        name=f"beating-{number}",
        url=f"http://127.0.0.1:{20_000 + number}",
        models=(control.Model("beating"),),
        endpoints=("chat",),
        slots=4,
        nonce=os.urandom(control.NONCE_BYTES).hex(),
        instance="bench",
    )
    writer.write(control.message_line("register", hello))
    kind, fields = control.parse_message(await reader.readline())
    if kind == "challenge":
        writer.write(control.message_line("prove", control.Prove()))
        kind, fields = control.parse_message(await reader.readline())
    if kind != "lease":
        raise RuntimeError(f"refused: {fields}")
    lease = control.parse_fields(fields, control.Lease)
    return lease.id, bytes.fromhex(lease.key or ""), writer
