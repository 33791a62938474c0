"""The balancer's rooms from the client's transport to the engine's, with nothing but memory in between."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.admission.queue import WaitQueue
from balancer.cache.keys import KeyRules
from balancer.cache.store import CacheLimits, CacheStore
from balancer.doors.clients import ClientLimits, Clients
from balancer.doors.health import Health
from balancer.doors.http import HttpConnection
from balancer.doors.native import NativeConnection
from balancer.doors.openai import OpenAIDoor
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.ports import Upstream
from balancer.exchange.timeline import Limits
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.detector import PASSIVE
from balancer.pool.registry import Registry
from balancer.pool.transition import Refused
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from balancer.telemetry import Telemetry
from balancer.upstream.connection import Address, Connection, ConnectionPool
from balancer.upstream.http import HttpUpstream
from scripts.bench.load import KEY
from scripts.bench.mock_engine import MODEL

TICK_S = 0.25
ENTRIES = 200
"""Few, so that the store is soon full, as it is in a daemon that has run for a while."""


class Memory(asyncio.Transport):
    """A transport that takes everything and sends nothing."""

    def __init__(self, written: Callable[[bytes], object]) -> None:
        super().__init__()
        self.write = written  # type: ignore[assignment,method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return False


class Inside:
    """One client's connection, two engines', everything between them with a key, and the exact cache or none."""

    def __init__(self, *, cache: bool, native: bool) -> None:
        loop, rng = asyncio.get_running_loop(), random.Random(1)
        registry, connections = Registry(tick_s=TICK_S), ConnectionPool()
        upstreams: dict[str, Upstream] = {"upstream": HttpUpstream(connections)}
        store = CacheStore(CacheLimits(max_entries=ENTRIES))
        lane = CacheLane(store, None, loop, wait_s=0.0, ttl_s=3600.0, rules=KeyRules()) if cache else None
        dispatcher = Dispatcher(
            registry=registry,
            router=Router(make_policy("least-connections"), rng),
            queue=WaitQueue(256, 64 << 20, lambda tenant: 1.0),
            upstreams=upstreams,
            clock=loop,
            unix_time=lambda: int(time.time()),
            limits=Limits(),
            cache=lane,
        )
        keys = KeyTable([ClientKey("bench", digest_of(KEY.encode()))])
        clients = Clients(dispatcher, ClientLimits(), lambda: f"{rng.getrandbits(96):024x}", keys)
        Telemetry(dispatcher, agents={}, connections=lambda: 0, version="", tick_s=TICK_S)
        door = OpenAIDoor(clients, Health(dispatcher, 0))
        self.asked: Connection | None = None
        """The engine's connection that the last request went to."""
        self.told = b""
        """What the client was last told."""
        for port in (1, 2):
            self._engine(registry, connections, port)
        self.client = NativeConnection(clients, asyncio.Protocol) if native else HttpConnection(clients, door.answer)
        self.client.connection_made(Memory(self._tell))

    def _engine(self, registry: Registry, connections: ConnectionPool, port: int) -> None:
        spec = BackendSpec(
            name=f"engine-{port}",
            kind="upstream",
            host="127.0.0.1",
            port=port,
            models=(ModelInfo(MODEL),),
            endpoints=frozenset({"chat", "completions"}),
            slots=256,
        )
        registered = registry.register(spec, 0.0, timings=PASSIVE)
        assert not isinstance(registered, Refused)
        connection = Connection(connections, Address(spec.host, spec.port))
        connection.connection_made(Memory(lambda _: self._ask(connection)))
        connections.keep(connection)

    def _ask(self, connection: Connection) -> None:
        self.asked = connection

    def _tell(self, data: bytes) -> None:
        self.told = data
