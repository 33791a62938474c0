"""An agent for an engine that is not ours: finds out what it offers, registers it, and beats while it answers."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Final
from urllib.parse import SplitResult

from backend.agent.agent import Agent
from backend.agent.describe import OLLAMA
from backend.agent.discovery import Found, Wanted, discover
from backend.agent.fetch import EngineHttp, EngineSilent
from backend.agent.identity import Identity, is_loopback
from backend.agent.poller import Poller
from backend.stopping import DRAIN_GRACE_S, StopSignals, unless
from backend.tasks import spawn

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an agent is told. ``key`` is the engine's own, for asking it; it is told to nobody else."""

    engine_url: SplitResult
    balancers: tuple[tuple[str, int], ...]
    token: bytes = b""
    key: str = ""
    name: str | None = None
    advertise_url: str | None = None
    weight: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    wanted: Wanted = field(default_factory=Wanted)
    poll_interval_s: float = 1.0
    drain_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Ready:
    """What the ready line tells."""

    name: str
    engine: str
    url: str
    models: tuple[str, ...]


async def run(settings: Settings, ready: Callable[[Ready], None]) -> None:
    """Register and beat until SIGTERM or SIGINT, then drain and leave; a second signal leaves at once.

    Raises `EngineUnavailable` if the engine can't stand behind a balancer as it is.
    """
    stop = StopSignals()
    http = EngineHttp(settings.engine_url, settings.key)
    found = await unless(stop.first, _awaited(http, settings.wanted))
    if found is None:
        return
    identity = _identity(settings, found)
    _tell(settings, found, identity)

    def register_again(now: Found) -> None:
        log.info("the engine offers something else now: %s", ", ".join(m.name for m in now.models))
        agent.register_again(_identity(settings, now, identity.instance))

    poller = Poller(http, found, settings.wanted, interval_s=settings.poll_interval_s, changed=register_again)
    agent = Agent(
        settings.balancers,
        identity,
        token=settings.token,
        load=lambda: poller.watch.load(time.monotonic()),
        rng=SystemRandom(),
    )
    polling = spawn(poller.run(), name="poll engine")
    agent.start()
    try:
        if await unless(stop.first, agent.until_registered()):
            ready(Ready(identity.name, found.engine, settings.engine_url.geturl(), tuple(m.name for m in found.models)))
        await stop.first.wait()
        await unless(stop.second, _drain(agent, poller, settings.drain_timeout_s))
        await agent.close()
    finally:
        polling.cancel()


async def _awaited(http: EngineHttp, wanted: Wanted) -> Found:
    """The engine may start after its agent; loading a model takes minutes."""
    complained = False
    while True:
        try:
            return await discover(http, wanted)
        except EngineSilent as silent:
            if not complained:
                log.warning("waiting for the engine at %s: %s", http.url.geturl(), silent)
            complained = True
        await asyncio.sleep(RETRY_S)


async def _drain(agent: Agent, poller: Poller, timeout_s: float) -> None:
    """No new work, then wait until the engine has none, as far as it tells; else for the whole time."""
    agent.drain()
    if not agent.is_registered:
        return
    log.info("draining, up to %g s; the engine itself is left alone", timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.sleep(DRAIN_GRACE_S)
            async with poller.polled:
                # Two polls: the first may have begun before the last request came.
                await poller.polled.wait()
                await poller.polled.wait()
                await poller.polled.wait_for(lambda: not poller.watch.answers or poller.watch.known_load == 0)
    except TimeoutError:
        log.info("leaving after %g s", timeout_s)


def _identity(settings: Settings, found: Found, instance: str | None = None) -> Identity:
    url, port = settings.engine_url, EngineHttp(settings.engine_url).port
    # An engine beside us is reached from elsewhere under the address that each balancer sees us under.
    beside = is_loopback(url.hostname or "") and url.scheme == "http" and not url.path
    return Identity(
        name=settings.name or _default_name(settings, port),
        instance=instance or secrets.token_hex(8),
        url=settings.advertise_url or (None if beside else url.geturl()),
        port=port,
        slots=found.slots,
        weight=settings.weight,
        version=found.version,
        engine=found.engine,
        models=found.models,
        abilities=found.abilities,
        endpoints=found.endpoints,
        labels=settings.labels,
    )


def _default_name(settings: Settings, port: int) -> str:
    """Where the engine is, told so that the agents of two machines differ."""
    host = settings.engine_url.hostname or ""
    elsewhere = is_loopback(host) and not all(is_loopback(balancer) for balancer, _ in settings.balancers)
    return f"{socket.gethostname() if elsewhere or ':' in host else host}:{port}"


def _tell(settings: Settings, found: Found, identity: Identity) -> None:
    """What was found, and what an operator should know of it."""
    lengths = (f"{model.name} ({model.context_length or 'unknown'} tokens)" for model in found.models)
    log.info(
        "engine %s at %s: %s; endpoints %s; %d slots",
        f"{found.engine} {found.version}".strip(), settings.engine_url.geturl(), ", ".join(lengths),
        ", ".join(found.endpoints), found.slots,
    )  # fmt: skip
    if found.engine == OLLAMA and settings.wanted.slots is None:
        log.info("Ollama does not tell OLLAMA_NUM_PARALLEL: %d slots taken; --slots says it", found.slots)
    if settings.key:
        log.warning("the engine's key is for this agent's own questions; balancers ask without it")
    elsewhere = [host for host, _ in settings.balancers if not is_loopback(host)]
    if elsewhere and identity.url is None:
        log.info(
            "balancers elsewhere will dial this machine's own address, port %d: the engine must listen there, not"
            " only on loopback (or say another url with --advertise-url)", identity.port
        )  # fmt: skip
