"""Composition root: engine, server and agent put together; signals, drain and exit."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom

from backend.agent.agent import Agent
from backend.agent.identity import Identity, http_url, is_wildcard
from backend.engines.base import Engine
from backend.server.server import Server
from backend.stopping import DRAIN_GRACE_S, StopSignals, unless
from balancer.wire.control import Model

log = logging.getLogger(__name__)


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
    stop = StopSignals()
    if not await unless(stop.first, _started(engine)):
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


async def _started(engine: Engine) -> bool:
    """``True`` once the engine has started, which may take long."""
    await engine.start()
    return True


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
    log.info("draining: %d running, up to %g s", server.running, timeout_s)
    agent.drain()
    grace_s = DRAIN_GRACE_S if agent.is_registered else 0.0
    await unless(hurry, server.drain(grace_s=grace_s, timeout_s=timeout_s))
    if server.running:
        log.warning("%d answers were not complete; they end in an error", server.running)
