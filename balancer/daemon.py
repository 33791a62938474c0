"""The composition root: builds the rooms, listens, keeps the one clock tick, owns signals, drain and exit."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import click
import uvloop

from balancer import tasks
from balancer.adapters.embedder.model import PACKAGED_NAME
from balancer.adapters.embedder.process import Embedder
from balancer.admission.queue import WaitQueue
from balancer.cache_learning import learn_from_traffic
from balancer.cache_setup import cache_lane
from balancer.compiled import check_sources, is_compiled
from balancer.config import Config
from balancer.corking import Cork
from balancer.doors.accepting import accept_faster
from balancer.doors.addresses import is_loopback
from balancer.doors.admin import AdminDoor
from balancer.doors.agents import Agents
from balancer.doors.changes import OperatorChanges
from balancer.doors.classic import ClassicConnection
from balancer.doors.clients import Clients
from balancer.doors.control import ControlConnection
from balancer.doors.descriptors import Gate, raise_limit
from balancer.doors.health import Health
from balancer.doors.heartbeats import HeartbeatDoor, free_port
from balancer.doors.http import HttpConnection
from balancer.doors.listener import Doors, Sniffer
from balancer.doors.native import NativeConnection
from balancer.doors.openai import OpenAIDoor
from balancer.embeddings import OwnEmbeddings
from balancer.errors import ConfigError
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.first_tokens import FirstTokens
from balancer.exchange.ports import Upstream
from balancer.ids import Ids
from balancer.listening import cannot_listen, listen
from balancer.logs import configure
from balancer.pool.detector import NATIVE, PROBED
from balancer.pool.registry import Registry
from balancer.reloader import Reloader, Reread, Rooms, client_limits, exchange_limits
from balancer.routing.policies import make_policy
from balancer.routing.prefer import preference
from balancer.routing.select import Router
from balancer.telemetry import Telemetry
from balancer.upstream.classic import ClassicUpstream
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import HttpUpstream
from balancer.upstream.watch import Watch
from balancer.version import installed_version

log = logging.getLogger("balancer")

TICK_S = 0.25
BEAT_S = 1.0
BACKLOG = 1024
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


class Daemon:
    """One balancer process."""

    def __init__(self, config: Config, reread: Reread | None = None) -> None:
        self._config = config
        self._reread = reread
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._sweeps: list[Callable[[float], object]] = []
        self._twice_a_second: list[Callable[[], None]] = []

    async def serve(self) -> int:
        """Build, listen, wait for a signal, drain."""
        config, loop = self._config, asyncio.get_running_loop()
        port = config.port or await free_port(config.host)
        rng = random.Random()  # seeded by the system
        new_id = Ids(rng)

        registry = Registry(tick_s=TICK_S)
        cork = Cork(loop.call_soon)
        connections = ConnectionPool(cork=cork)
        embedder = Embedder(config.cache_model) if config.cache and config.embedder else None
        upstreams: dict[str, Upstream] = {}
        router = Router(make_policy(config.policy), rng)
        router.preference = preference(config.prefer)
        dispatcher = Dispatcher(
            registry=registry,
            router=router,
            queue=WaitQueue(config.queue_size, config.queue_bytes, lambda tenant: clients.weight_of(tenant)),
            upstreams=upstreams,
            clock=loop,
            unix_time=lambda: int(time.time()),
            limits=exchange_limits(config),
            cache=cache_lane(config, embedder, loop),
            default_model=config.default_model,
        )
        learn_from_traffic(config, dispatcher, rng, new_id)
        agents = Agents(
            registry,
            loop,
            os.urandom,
            pool_changed=dispatcher.pool_changed,
            token=config.token,
            insecure=config.insecure,
            networks=config.backends_from,
            own_port=port,
            own_hosts=(config.host,),
            beat_s=BEAT_S,
            deadline_s=NATIVE.dead_after_s,
        )
        clients = Clients(
            dispatcher,
            client_limits(config),
            new_id,
            config.keys,
        )
        dispatcher.rules, clients.explains = config.models, config.explain
        dispatcher.hedging = FirstTokens() if config.hedge else None
        classic = ClassicUpstream(registry, loop)
        upstreams |= dict.fromkeys(("native", "upstream"), HttpUpstream(connections)) | {"classic": classic}
        watch = Watch(
            registry, connections, loop, agents.apply, dispatcher.pool_changed, PROBED, dispatcher.heard_since
        )
        reloader = Reloader(config, Rooms(dispatcher, router, clients, agents, watch), self._reread, self._settle)

        own = OwnEmbeddings(embedder, _embedding_model(config), dispatcher, rng) if embedder is not None else None
        health = Health(dispatcher, int(time.time()))
        public = OpenAIDoor(clients, health, own)
        telemetry = Telemetry(
            dispatcher,
            agents=agents.counts,
            connections=lambda: clients.connections,
            version=installed_version(),
            tick_s=TICK_S,
            access_log=config.access_log,
            as_json=config.log_json,
            own_models=(own.name,) if own is not None else (),
        )
        changes = OperatorChanges(registry, watch, reloader.reload)
        admin = AdminDoor(
            dispatcher, agents, clients, installed_version(), telemetry.metrics, health=health, changes=changes
        )
        self._doors = Doors(
            native=lambda: NativeConnection(clients, lambda: ControlConnection(agents), cork),
            http=lambda: HttpConnection(clients, public.answer, cork),
            classic=lambda: ClassicConnection(clients, agents, self._config.classic_from),
            first_bytes_s=config.head_timeout_s,
            tls=config.tls,
            plain_from_elsewhere=config.insecure,
            gate=Gate(raise_limit()),
        )
        self._sweeps += [agents.advance, dispatcher.advance, watch.advance, connections.sweep, telemetry.advance]
        self._twice_a_second += [clients.keep_alive, dispatcher.tell_positions]
        if dispatcher.cache is not None:
            self._sweeps.append(dispatcher.cache.advance)
        if own is not None:
            self._sweeps.append(own.advance)

        server = await listen(self._sniffer, config.host, port, option="port", backlog=BACKLOG)
        servers = [server, *await accept_faster(server, self._sniffer, backlog=BACKLOG)]
        admin_server = await listen(
            lambda: HttpConnection(clients, admin.answer), config.admin_host, config.admin_port, option="admin-port"
        )
        try:
            heartbeats = await HeartbeatDoor.open(config.host, port, agents)
        except OSError as error:
            raise cannot_listen(error, config.host, port, option="port", what="UDP") from None
        tasks.spawn(heartbeats.run(), name="heartbeats")
        if embedder is not None:
            await embedder.start()
        await reloader.start()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._signalled, signum)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up, reloader, telemetry)
        self._tick(loop, 0)
        gc.freeze()  # what start-up made lives as long as the process: collections need not look at it
        gc.set_threshold(*GC_THRESHOLDS)
        self._say_ready(port, admin_server.sockets[0].getsockname()[1])

        await self._stop.wait()
        for each in servers:
            each.close()
        await self._drain([dispatcher, *([own.dispatcher] if own is not None else [])], clients)
        heartbeats.close()
        classic.close()
        connections.close()
        if dispatcher.cache is not None:
            dispatcher.cache.close()
        if embedder is not None:
            await embedder.stop()
        admin_server.close()
        await tasks.cancel_all()
        telemetry.close()
        log.info("stopped")
        return 0

    async def _drain(self, dispatchers: list[Dispatcher], clients: Clients) -> None:
        """Let what runs finish, up to the limit; then end it with an error, never in silence."""
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
        return Sniffer(self._doors)  # those of now: a reload makes others

    def _signalled(self, signum: int) -> None:
        """The first signal drains, the second hurries."""
        log.info("%s", signal.Signals(signum).name)
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _hung_up(self, reloader: Reloader, telemetry: Telemetry) -> None:
        log.info("SIGHUP")
        telemetry.reopen()
        tasks.spawn(reloader.on_signal(), name="reload")

    def _settle(self, config: Config) -> None:
        """What a reload changes beyond the rooms: it holds from the next connection on."""
        self._config = config
        self._doors = replace(self._doors, tls=config.tls, first_bytes_s=config.head_timeout_s)

    def _tick(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """The only periodic timer: every room that has deadlines is told the time."""
        loop.call_later(TICK_S, self._tick, loop, count + 1)  # first: whatever fails below, time goes on
        now = loop.time()
        for sweep in self._sweeps:
            sweep(now)
        if count % 2 == 0:
            for call in self._twice_a_second:
                call()

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


def _waived(config: Config, port: int, admin_port: int) -> str:
    """Who may do what without proof."""
    unproven = [what for what, proof in (("ask", config.keys), ("register backends", config.token)) if proof is None]
    said = [f"whoever reaches {config.host}:{port} may {' and '.join(unproven)}"] if unproven else []
    if config.admin_host != "localhost" and not is_loopback(config.admin_host):
        said.append(f"whoever reaches {config.admin_host}:{admin_port} is obeyed as the operator")
    return "; ".join(said) or "it waives nothing here: there are keys and a token"


def _ready_line(ready: Mapping[str, object], *, as_json: bool) -> str:
    if as_json:
        import json

        return json.dumps({"event": "ready", **ready})
    return (
        f"llm-balancer ready on {ready['host']}:{ready['port']} "
        f"(policy {ready['policy']}, cache {ready['cache']}, admin port {ready['admin_port']}"
        + (", compiled)" if ready["compiled"] else ")")
    )


def _active(dispatchers: list[Dispatcher]) -> int:
    return sum(dispatcher.active for dispatcher in dispatchers)


def _embedding_model(config: Config) -> str:
    """What clients call the embedder's model: a folder by its last name."""
    name = config.cache_model or PACKAGED_NAME
    folder = Path(name).expanduser()
    return folder.name if folder.is_dir() else name
