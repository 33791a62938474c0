"""One balancer process: builds its parts, listens, keeps the one clock tick, owns signals, drain and exit."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import click
import uvloop

from balancer import tasks
from balancer.compiled import check_sources, is_compiled
from balancer.config import Config
from balancer.doors.accepting import accept_faster
from balancer.doors.addresses import is_loopback
from balancer.doors.heartbeats import HeartbeatDoor, free_port
from balancer.doors.http import HttpConnection
from balancer.doors.listener import Doors, Sniffer
from balancer.errors import ConfigError
from balancer.exchange.dispatcher import Dispatcher
from balancer.listening import cannot_listen, listen
from balancer.logs import configure
from balancer.parts import TICK_S, Parts, build
from balancer.reloader import Reread

log = logging.getLogger("balancer")

BACKLOG = 1024
FAILURES_A_LINE = 240
"""A sweep that fails with every tick is told of once a minute."""
GC_THRESHOLDS = (10_000, 20, 100)
"""A request leaves no cycles behind, so there is little to be found, and looking stops everything else."""


def run(config: Config, reread: Reread | None = None, remarks: Iterable[str] = ()) -> int:
    """Run until a signal ends it; the exit status. ``reread`` reads the settings again when a reload is asked for;
    ``remarks`` are what is odd about them."""
    configure(level=config.log_level, as_json=config.log_json)
    for remark in remarks:
        log.warning("%s", remark)
    try:
        check_sources()
        return uvloop.run(Daemon(config, reread).serve())
    except (OSError, ConfigError) as error:
        click.echo(f"llm-balancer: {getattr(error, 'strerror', None) or error}", err=True)
        return 1


@dataclass(frozen=True, slots=True)
class Listening:
    """What is open."""

    servers: list[asyncio.Server]
    """On the public port."""
    admin_server: asyncio.Server
    heartbeats: HeartbeatDoor

    def take_nobody(self) -> None:
        """Nobody new on the public port."""
        for server in self.servers:
            server.close()


class Daemon:
    """One balancer process."""

    _parts: Parts
    _doors: Doors
    """A reload makes others."""

    def __init__(self, config: Config, reread: Reread | None = None) -> None:
        self._config = config
        self._reread = reread
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._sweeps: list[Callable[[float], object]] = []
        self._every_other_tick: list[Callable[[], None]] = []
        self._failed_sweeps: dict[Callable[..., object], int] = {}

    async def serve(self) -> int:
        """Build, listen, wait for a signal, drain."""
        config = self._config
        port = config.port or await free_port(config.host)
        parts = self._parts = build(config, port, self._reread, self._settle)
        self._doors = parts.doors(config)
        self._sweeps, self._every_other_tick = parts.sweeps(), parts.every_other_tick()
        listening = await self._listen(parts, port)
        try:
            if parts.embedder is not None:
                await parts.embedder.start()
            await parts.reloader.start()
        except ConfigError:
            await _close(parts, listening)
            raise
        self._begin(parts)
        self._say_ready(port, listening.admin_server.sockets[0].getsockname()[1])

        await self._stop.wait()
        listening.take_nobody()
        await self._drain(parts)
        await _close(parts, listening)
        log.info("stopped")
        return 0

    async def _listen(self, parts: Parts, port: int) -> Listening:
        """Raises `ConfigError` that names the option to change."""
        config, clients = self._config, parts.rooms.clients
        server = await listen(self._sniffer, config.host, port, option="port", backlog=BACKLOG)
        servers = [server, *await accept_faster(server, self._sniffer, backlog=BACKLOG)]
        admin_server = await listen(
            lambda: HttpConnection(clients, parts.admin.answer),
            config.admin_host,
            config.admin_port,
            option="admin-port",
        )
        try:
            heartbeats = await HeartbeatDoor.open(config.host, port, parts.rooms.agents)
        except OSError as error:
            raise cannot_listen(error, config.host, port, option="port", what="UDP") from None
        tasks.spawn(heartbeats.run(), name="heartbeats")
        return Listening(servers, admin_server, heartbeats)

    def _begin(self, parts: Parts) -> None:
        """From here on signals are heard and time passes."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._signalled, signum)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up, parts)
        self._tick(loop, 0)
        gc.freeze()  # what start-up made lives as long as the process: collections need not look at it
        gc.set_threshold(*GC_THRESHOLDS)

    async def _drain(self, parts: Parts) -> None:
        """Let what runs finish, up to the limit; then end it with an error, never in silence."""
        dispatchers, clients = parts.dispatchers(), parts.rooms.clients
        for dispatcher in dispatchers:
            dispatcher.stop()
        clients.drain()
        log.info("stopping: %d requests under way, up to %g s", _active(dispatchers), self._config.drain_timeout_s)
        deadline = asyncio.get_running_loop().time() + self._config.drain_timeout_s
        while (_active(dispatchers) or clients.unsent) and not self._hurry.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(self._hurry.wait(), min(left, TICK_S / 5))
            except TimeoutError:
                pass
        if _active(dispatchers):
            log.warning("%d requests did not finish in time", _active(dispatchers))
        for dispatcher in dispatchers:
            dispatcher.abort()
        await asyncio.sleep(0)  # let their last lines go out

    def _sniffer(self) -> Sniffer:
        return Sniffer(self._doors)

    def _signalled(self, signum: int) -> None:
        """The first signal drains, the second hurries."""
        log.info("%s", signal.Signals(signum).name)
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _hung_up(self, parts: Parts) -> None:
        log.info("SIGHUP")
        parts.telemetry.reopen()
        tasks.spawn(parts.reloader.on_signal(), name="reload")

    def _settle(self, config: Config) -> None:
        """What a reload changes beyond the rooms: it holds from the next connection on."""
        self._config = config
        self._doors = self._parts.doors(config)

    def _tick(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """The only periodic timer: every room that has deadlines is told the time."""
        loop.call_later(TICK_S, self._tick, loop, count + 1)  # first: whatever fails below, time goes on
        now = loop.time()
        for sweep in self._sweeps:
            self._guarded(sweep, now)
        if count % 2 == 0:
            for call in self._every_other_tick:
                self._guarded(call)

    def _guarded(self, sweep: Callable[..., object], *args: float) -> None:
        """One room's bug, which may come back with every tick, must not keep the time from the others."""
        try:
            sweep(*args)
        except Exception:
            if self._failed_sweeps.setdefault(sweep, 0) % FAILURES_A_LINE == 0:
                log.exception("%s failed", sweep)
            self._failed_sweeps[sweep] += 1

    def _say_ready(self, port: int, admin_port: int) -> None:
        config = self._config
        if config.insecure:
            log.warning("--insecure: %s", _waived(config, port, admin_port))
        if config.keys is not None:
            log.info("%d clients have a key; on this machine anybody may ask without", len(config.keys))
        ready = {
            "host": config.host,
            "port": port,
            "admin_port": admin_port,
            "policy": config.policy,
            "cache": "on" if config.cache else "off",
            "compiled": is_compiled(),
        }
        click.echo(_ready_line(ready, as_json=config.log_json))


async def _close(parts: Parts, listening: Listening) -> None:
    """After the drain: nobody is answered any more."""
    listening.take_nobody()
    listening.heartbeats.close()
    parts.classic.close()
    parts.connections.close()
    if (cache := parts.rooms.dispatcher.cache) is not None:
        cache.close()
    if parts.embedder is not None:
        await parts.embedder.stop()
    listening.admin_server.close()
    await tasks.cancel_all()
    parts.telemetry.close()


def _waived(config: Config, port: int, admin_port: int) -> str:
    """Who may do what without proof."""
    unproven = [what for what, proof in (("ask", config.keys), ("register backends", config.token)) if proof is None]
    said = [f"whoever reaches {config.host}:{port} may {' and '.join(unproven)}"] if unproven else []
    if config.admin_host != "localhost" and not is_loopback(config.admin_host):
        said.append(f"whoever reaches {config.admin_host}:{admin_port} is obeyed as the operator")
    return "; ".join(said) or "it waives nothing here: there are keys and a token"


def _ready_line(ready: Mapping[str, object], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"event": "ready", **ready})
    return (
        f"llm-balancer ready on {ready['host']}:{ready['port']} "
        f"(policy {ready['policy']}, cache {ready['cache']}, admin port {ready['admin_port']}"
        + (", compiled)" if ready["compiled"] else ")")
    )


def _active(dispatchers: list[Dispatcher]) -> int:
    return sum(dispatcher.active for dispatcher in dispatchers)
