"""One upstream in the pool: its lease, its prober, and what it offers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.load import Load
from balancer.tasks import spawn
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober
from balancer.upstream.resolve import with_options
from balancer.upstream.spec import UpstreamSpec
from balancer.wire.model_list import Listing, abilities_of


class Registrar(Protocol):
    """Who puts it into the pool."""

    connections: ConnectionPool

    def register(self, spec: BackendSpec) -> int: ...

    def probed(self, spec: BackendSpec, lease_id: int, healthy: bool, load: Load | None) -> None: ...

    def heard_since(self, name: str, since: float) -> bool: ...


class Watched:
    """See the module. All its registrations are of one instance, so that none of them ends a stream."""

    def __init__(self, registrar: Registrar, upstream: UpstreamSpec, backend: BackendSpec, *, instance: str) -> None:
        self.upstream = upstream
        self._registrar = registrar
        self._bare = replace(backend, instance=instance)
        self._listing: Listing | None = None
        self._spec = self._offered()
        self.lease_id = registrar.register(self._spec)
        self._prober = Prober(self._spec, registrar.connections, self._listed, self._probed, self._heard_since)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to probe it."""
        self._task = spawn(self._prober.run(), name=f"probe {self._spec.name}")

    def stop(self) -> None:
        """Probe it no more."""
        if self._task is not None:
            self._task.cancel()

    @property
    def trouble(self) -> str | None:
        """How its last probe failed."""
        return self._prober.trouble

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
            self.lease_id = self._registrar.register(spec)

    def _offered(self) -> BackendSpec:
        """The backend as its own list and the operator's options have it."""
        backend = self._bare
        if self._listing is not None:
            backend = replace(
                backend,
                models=tuple(ModelInfo(*item) for item in sorted(self._listing.models.items())),
                engine=self._listing.engine,
                abilities=abilities_of(self._listing.engine),
            )
        return with_options(backend, self.upstream)

    def _probed(self, healthy: bool, load: Load | None) -> None:
        self._registrar.probed(self._spec, self.lease_id, healthy, load)

    def _heard_since(self, since: float) -> bool:
        return self._registrar.heard_since(self._spec.name, since)
