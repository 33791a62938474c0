"""All that one balancer process is made of, put together as the settings want it; nothing listens yet.

The order is that of who needs whom: pool and upstreams, the dispatcher over them, then the doors before it. Only the
queue needs one that comes later: who waits is weighed by the clients' keys.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from balancer.adapters.embedder.model import PACKAGED_NAME
from balancer.adapters.embedder.process import Embedder
from balancer.admission.queue import WaitQueue
from balancer.cache_learning import learn_from_traffic
from balancer.cache_setup import cache_lane
from balancer.config import Config
from balancer.corking import Cork
from balancer.doors.admin import AdminDoor
from balancer.doors.agents import Agents
from balancer.doors.changes import OperatorChanges
from balancer.doors.classic import ClassicConnection
from balancer.doors.clients import Clients
from balancer.doors.control import ControlConnection
from balancer.doors.descriptors import Gate, raise_limit
from balancer.doors.health import Health
from balancer.doors.http import HttpConnection
from balancer.doors.listener import Doors
from balancer.doors.native import NativeConnection
from balancer.doors.openai import OpenAIDoor
from balancer.embeddings import OwnEmbeddings
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.ports import Upstream
from balancer.ids import Ids
from balancer.pool.detector import NATIVE, PROBED
from balancer.pool.registry import Registry
from balancer.reloader import Reloader, Reread
from balancer.rooms import Rooms, client_limits, exchange_limits
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from balancer.telemetry import Telemetry
from balancer.upstream.classic import ClassicUpstream
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.http import HttpUpstream
from balancer.upstream.watch import Watch
from balancer.version import installed_version

TICK_S = 0.25
BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What `build` made."""

    rooms: Rooms
    reloader: Reloader
    public: OpenAIDoor
    admin: AdminDoor
    telemetry: Telemetry
    connections: ConnectionPool
    classic: ClassicUpstream
    embedder: Embedder | None
    own: OwnEmbeddings | None
    """The embedder as a model for clients."""
    cork: Cork
    gate: Gate

    def doors(self, config: Config) -> Doors:
        """What meets a new connection on the public port."""
        clients, agents, cork = self.rooms.clients, self.rooms.agents, self.cork
        return Doors(
            native=lambda: NativeConnection(clients, lambda: ControlConnection(agents), cork),
            http=lambda: HttpConnection(clients, self.public.answer, cork, self.public.refuses),
            classic=lambda: ClassicConnection(clients, agents, config.classic_from),
            new_id=clients.new_id,
            first_bytes_s=config.head_timeout_s,
            tls=config.tls,
            plain_from_elsewhere=config.insecure,
            gate=self.gate,
        )

    def dispatchers(self) -> list[Dispatcher]:
        """Whose requests a drain waits for."""
        return [self.rooms.dispatcher, *([self.own.dispatcher] if self.own is not None else [])]

    def sweeps(self) -> list[Callable[[float], object]]:
        """Who is told the time (monotonic s) at every tick."""
        rooms, cache = self.rooms, self.rooms.dispatcher.cache
        return [
            rooms.agents.advance,
            rooms.dispatcher.advance,
            rooms.watch.advance,
            self.connections.sweep,
            self.telemetry.advance,
            *([cache.advance] if cache is not None else []),
            *([self.own.advance] if self.own is not None else []),
        ]

    def every_other_tick(self) -> list[Callable[[], None]]:
        """Who speaks to clients that wait."""
        return [self.rooms.clients.keep_alive, self.rooms.dispatcher.tell_positions]


def build(config: Config, port: int, reread: Reread | None, settle: Callable[[Config], None]) -> Parts:
    """Put it all together, in a running event loop. ``port`` is the public one; ``settle``: see `Reloader`.

    Raises `ConfigError`: a file that is written to cannot be.
    """
    loop, rng = asyncio.get_running_loop(), random.Random()  # seeded by the system
    cork = Cork(loop.call_soon)
    connections = ConnectionPool(cork=cork)
    registry = Registry(tick_s=TICK_S)
    classic = ClassicUpstream(registry, loop)
    upstreams: dict[str, Upstream] = {**dict.fromkeys(("native", "upstream"), HttpUpstream(connections))}
    upstreams["classic"] = classic
    embedder = Embedder(config.cache_model) if config.cache and config.embedder else None

    rooms = _rooms(config, port, registry, upstreams, connections, embedder, rng)
    rooms.apply(config)
    reloader = Reloader(config, rooms, reread, settle)
    dispatcher, clients = rooms.dispatcher, rooms.clients
    own = OwnEmbeddings(embedder, _embedding_model(config), dispatcher, rng) if embedder is not None else None
    health = Health(dispatcher, int(time.time()))
    telemetry = Telemetry(
        dispatcher,
        agents=rooms.agents.counts,
        connections=lambda: clients.connections,
        version=installed_version(),
        tick_s=TICK_S,
        access_log=config.access_log,
        as_json=config.log_json,
        own_models=(own.name,) if own is not None else (),
    )
    changes = OperatorChanges(registry, rooms.watch, reloader.reload)
    return Parts(
        rooms=rooms,
        reloader=reloader,
        public=OpenAIDoor(clients, health, own),
        admin=AdminDoor(
            dispatcher, rooms.agents, clients, installed_version(), telemetry.metrics, health=health, changes=changes
        ),
        telemetry=telemetry,
        connections=connections,
        classic=classic,
        embedder=embedder,
        own=own,
        cork=cork,
        gate=Gate(raise_limit()),
    )


def _rooms(
    config: Config,
    port: int,
    registry: Registry,
    upstreams: dict[str, Upstream],
    connections: ConnectionPool,
    embedder: Embedder | None,
    rng: random.Random,
) -> Rooms:
    """What settings may change while it runs is set by `Rooms.apply`."""
    loop, new_id = asyncio.get_running_loop(), Ids(rng)
    router = Router(make_policy(config.policy), rng)
    dispatcher = Dispatcher(
        registry=registry,
        router=router,
        queue=WaitQueue(config.queue_size, config.queue_bytes, lambda tenant: clients.weight_of(tenant)),
        upstreams=upstreams,
        clock=loop,
        unix_time=lambda: int(time.time()),
        limits=exchange_limits(config),
        cache=cache_lane(config, embedder, loop),
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
    clients = Clients(dispatcher, client_limits(config), new_id)
    watch = Watch(registry, connections, loop, agents.apply, dispatcher.pool_changed, PROBED, dispatcher.heard_since)
    return Rooms(dispatcher, router, clients, agents, watch)


def _embedding_model(config: Config) -> str:
    """What clients call the embedder's model: a folder by its last name."""
    name = config.cache_model or PACKAGED_NAME
    folder = Path(name).expanduser()
    return folder.name if folder.is_dir() else name
