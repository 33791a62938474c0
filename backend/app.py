"""Composition root: engine, server and agent put together; signals, drain and exit."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Final

from backend.agent.agent import Agent
from backend.agent.identity import Identity, http_url, is_wildcard
from backend.engines.base import Engine
from backend.errors import EngineUnavailable
from backend.server.server import Server
from backend.tasks import spawn
from balancer.wire.control import Model

_log = logging.getLogger(__name__)

DRAIN_GRACE_S: Final = 0.5
"""New requests are still taken this long after the balancers were told of the drain: they were on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a backend process is told to be. ``name`` and ``advertise_url`` default to where it listens."""

    host: str
    port: int
    slots: int
    name: str | None = None
    weight: float = 1.0
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    balancers: tuple[tuple[str, int], ...] = ()
    token: bytes = b""
    advertise_url: str | None = None
    drain_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Ready:
    """What the ready line tells."""

    name: str
    url: str
    port: int
    model: str


async def run(settings: Settings, engine: Engine, ready: Callable[[Ready], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    Raises `EngineUnavailable`, and `OSError` if the port can't be had.
    """
    stop = _StopSignals()
    if not await _started(engine, stop.first):
        return
    server = Server(engine, slots=settings.slots)
    try:
        port = await server.listen(settings.host, settings.port)
        agent = _agent(settings, engine, port)
        agent.start()
        wildcard = is_wildcard(settings.host)
        url = settings.advertise_url or http_url("127.0.0.1" if wildcard else settings.host, port)
        ready(Ready(_name(settings, port), url, port, engine.info.model))
        await stop.first.wait()
        await _drain(server, agent, settings.drain_timeout_s, stop.second)
        await agent.close()
    finally:
        await server.close()


async def _started(engine: Engine, stop: asyncio.Event) -> bool:
    """Start the engine, which may take long; ``False`` if it is told to stop meanwhile."""
    starting = spawn(_start(engine), name="engine start")
    stopping = spawn(stop.wait(), name="first signal")
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        return False
    if (error := starting.result()) is not None:
        raise error
    return True


async def _start(engine: Engine) -> EngineUnavailable | None:
    """The error is handed over, since one that ends a task would be logged as a fault of ours."""
    try:
        await engine.start()
    except EngineUnavailable as error:
        return error
    return None


def _agent(settings: Settings, engine: Engine, port: int) -> Agent:
    url = None if is_wildcard(settings.host) else http_url(settings.host, port)
    info = engine.info
    identity = Identity(
        name=_name(settings, port),
        instance=secrets.token_hex(8),
        url=settings.advertise_url or url,
        port=port,
        slots=settings.slots,
        weight=settings.weight,
        version=settings.version,
        engine=info.engine,
        models=(Model(info.model, info.max_model_len),),
        abilities=info.abilities,
        labels=settings.labels,
    )
    return Agent(settings.balancers, identity, token=settings.token, load=engine.load, rng=SystemRandom())


def _name(settings: Settings, port: int) -> str:
    """The stable name: a restart on the same host and port is the same backend."""
    if settings.name:
        return settings.name
    host = settings.host
    return f"{socket.gethostname() if is_wildcard(host) or ':' in host else host}:{port}"


async def _drain(server: Server, agent: Agent, timeout_s: float, hurry: asyncio.Event) -> None:
    """Tell the balancers, then let what runs finish, unless a second signal comes."""
    _log.info("draining: %d running, up to %g s", server.running, timeout_s)
    agent.drain()
    grace_s = DRAIN_GRACE_S if agent.is_registered else 0.0
    draining = spawn(server.drain(grace_s=grace_s, timeout_s=timeout_s), name="drain")
    hurrying = spawn(hurry.wait(), name="second signal")
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    draining.cancel()
    hurrying.cancel()
    if server.running:
        _log.warning("%d answers were not complete; they end in an error", server.running)


class _StopSignals:
    """`first` is set by the first SIGTERM or SIGINT, `second` by the next."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._arrived)

    def _arrived(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
