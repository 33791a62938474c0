"""Backends named by the operator: into the pool, and their health into the registry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from balancer.errors import ConfigError
from balancer.exchange.ports import Clock
from balancer.pool.backend import BackendSpec
from balancer.pool.detector import PASSIVE, Timings
from balancer.pool.registry import Registry
from balancer.pool.transition import Refused, Transition
from balancer.tasks import spawn
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober, upstream_spec

log = logging.getLogger("balancer.upstream")


class Watch:
    """Registers upstreams and keeps a prober on each. One over HTTPS is judged by its answers alone."""

    def __init__(
        self,
        registry: Registry,
        pool: ConnectionPool,
        clock: Clock,
        apply: Callable[[Iterable[Transition]], None],
        timings: Timings,
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._clock = clock
        self._apply = apply
        self._timings = timings

    async def add(self, url: str) -> None:
        """Put the upstream into the pool; raises `ConfigError` if its address cannot be known."""
        try:
            spec = replace(await upstream_spec(url), instance=url)
        except (OSError, ValueError) as error:
            raise ConfigError(f"upstream {url}: {error}") from None
        _Watched(self, spec)

    def register(self, spec: BackendSpec) -> int:
        """Enter or update a spec; its lease."""
        timings = PASSIVE if spec.tls else self._timings
        found = self._registry.register(spec, self._clock.time(), timings=timings)
        if isinstance(found, Refused):
            raise ConfigError(f"upstream {spec.name}: {found.message}")
        self._apply(found.transitions)
        return found.lease_id

    def verdict(self, spec: BackendSpec, lease_id: int, healthy: bool) -> None:
        """The outcome of a probe."""
        if spec.tls:
            return
        report = self._registry.probe_ok if healthy else self._registry.probe_failed
        self._apply(report(lease_id, self._clock.time()))

    def probe(self, prober: Prober, name: str) -> None:
        spawn(prober.run(), name=f"probe {name}")

    @property
    def pool(self) -> ConnectionPool:
        return self._pool


class _Watched:
    """One upstream with its current lease."""

    def __init__(self, watch: Watch, spec: BackendSpec) -> None:
        self._watch = watch
        self._spec = spec
        self._lease_id = watch.register(spec)
        watch.probe(Prober(spec, watch.pool, self._offers, self._verdict), spec.name)

    def _offers(self, spec: BackendSpec) -> None:
        self._spec = spec
        self._lease_id = self._watch.register(spec)

    def _verdict(self, healthy: bool) -> None:
        self._watch.verdict(self._spec, self._lease_id, healthy)
