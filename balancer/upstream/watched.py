"""One upstream in the pool: its lease, its prober, what it offers, and where it is by now."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final, Protocol

from balancer.errors import ConfigError
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.load import Load
from balancer.tasks import spawn
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober
from balancer.upstream.resolve import address_now, has_address, no_address, with_options
from balancer.upstream.spec import UpstreamSpec
from balancer.wire.model_list import Listing, abilities_of

log = logging.getLogger("balancer.upstream")

LOOK_AGAIN_S: Final = 30.0
"""The name of an upstream whose probes fail is looked up this often at most."""


class Registrar(Protocol):
    """Who puts it into the pool."""

    connections: ConnectionPool

    def register(self, spec: BackendSpec, lease_id: int = 0) -> int:
        """Enter it, in the place of what has this lease; its new lease. Raises `ConfigError`."""

    def lost(self, name: str, lease_id: int) -> bool:
        """Whether it is in the pool no more, though it should be."""

    def probed(self, spec: BackendSpec, lease_id: int, healthy: bool, load: Load | None) -> None: ...

    def heard_since(self, name: str, since: float) -> bool: ...


class Watched:
    """See the module. All its registrations are of one instance, so that none of them ends a stream."""

    def __init__(self, registrar: Registrar, upstream: UpstreamSpec, backend: BackendSpec, *, instance: str) -> None:
        self.upstream = upstream
        self._registrar = registrar
        self._instance = instance
        self._bare = replace(backend, instance=instance)
        self._listing: Listing | None = None
        self._spec = self._offered()
        self.lease_id = registrar.register(self._spec)
        self._prober = Prober(self._spec, registrar.connections, self._listed, self._probed, self._heard_since)
        self._task: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._look_at = asyncio.get_running_loop().time() + LOOK_AGAIN_S
        self._shut_out = False
        self._no_address = None if has_address(backend) else f"no address for {backend.host}"

    def start(self) -> None:
        """Begin to probe it."""
        self._task = spawn(self._run(), name=f"probe {self._spec.name}")

    async def _run(self) -> None:
        while not has_address(self._bare):
            if not await self._looked_up():
                await asyncio.sleep(LOOK_AGAIN_S)
        await self._prober.run()

    def stop(self) -> None:
        """Probe it no more."""
        for task in (self._task, self._look):
            if task is not None:
                task.cancel()

    @property
    def trouble(self) -> str | None:
        """Why its address is not known, how its last probe failed, or what is odd about its answer."""
        lists_none = self._listing is not None and not self._spec.models
        return self._no_address or self._prober.trouble or ("it lists no model" if lists_none else None)

    def change(self, upstream: UpstreamSpec) -> None:
        """Other options for the same URL."""
        self.upstream = upstream
        self._offer()

    def _listed(self, listing: Listing) -> None:
        self._listing = listing
        self._offer()

    def _offer(self) -> None:
        spec = self._offered()
        if spec != self._spec:
            self._spec = self._prober.spec = spec
            self._enter()

    def _enter(self) -> None:
        """Into the pool with what it offers now, unless another backend has taken its name while it was dead."""
        try:
            self.lease_id = self._registrar.register(self._spec, self.lease_id)
        except ConfigError as error:
            if not self._shut_out:
                log.warning("%s", error)
            self._shut_out = True
        else:
            self._shut_out = False

    def _offered(self) -> BackendSpec:
        """The backend as its own list and the operator's options have it."""
        backend = self._bare
        if self._listing is not None:
            backend = replace(
                backend,
                models=tuple(ModelInfo(*item) for item in sorted(self._listing.models.items())),
                engine=self._listing.engine,
                abilities=abilities_of(self._listing.engine) | self._listing.abilities,
            )
        return with_options(backend, self.upstream)

    def _probed(self, healthy: bool, load: Load | None) -> None:
        if not healthy:
            self._look_again()
        elif self._registrar.lost(self._spec.name, self.lease_id):
            self._enter()
        self._registrar.probed(self._spec, self.lease_id, healthy, load)

    def _heard_since(self, since: float) -> bool:
        return self._registrar.heard_since(self._spec.name, since)

    # --- where it is

    def _look_again(self) -> None:
        if self._spec.tls and self._prober.denied:
            return  # its certificate shows that it is who it should be
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_S
            self._look = spawn(self._looked_up(), name=f"look up {self._spec.name}")

    async def _looked_up(self) -> bool:
        """Go to where it is now; whether that is known."""
        old = self._bare.host
        try:
            address = await address_now(self.upstream, old)
        except (OSError, UnicodeError) as error:
            why = no_address(self.upstream, error)
            self._no_address = None if has_address(self._bare) else why
            log.debug("upstream %s: %s", self._spec.name, why)
            return False
        self._no_address = None
        if address != old:
            log.warning("upstream %s is at %s now, no longer at %s", self._spec.name, address, old)
            self._bare = replace(self._bare, host=address, instance=f"{self._instance} {address}")
            self._offer()
        return True
