"""Backends named by the operator: into the pool and out of it, and their health and load into the registry.

One that is removed gets no new work, and leaves when what runs on it has ended: an operator who takes a backend out
does not mean to break its streams.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from balancer.errors import ConfigError
from balancer.exchange.ports import Clock
from balancer.pool.backend import BackendSpec, State
from balancer.pool.detector import PASSIVE, Timings
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Refused, Transition
from balancer.upstream.changes import UpstreamChanges, plan_upstreams
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.resolve import NoAddress, has_address, resolved, unresolved
from balancer.upstream.spec import UpstreamSpec
from balancer.upstream.watched import Watched

log = logging.getLogger("balancer.upstream")

UPSTREAMS_MAX = 1024


class Watch:
    """Registers upstreams and keeps a prober on each. One over HTTPS is alive once it is known what it offers, and from
    then on judged by its answers alone.

    ``apply`` is given the pool's transitions; ``pool_changed`` is called with none of them where a backend changed
    without one: it may offer what somebody waits for.
    """

    def __init__(
        self,
        registry: Registry,
        connections: ConnectionPool,
        clock: Clock,
        apply: Callable[[Iterable[Transition]], None],
        pool_changed: Callable[[Iterable[Transition]], None],
        timings: Timings,
        heard_since: Callable[[str, float], bool] = lambda name, since: False,
    ) -> None:
        self.connections = connections
        self.heard_since = heard_since
        """Whether tokens came from a backend of this name since then."""
        self._registry = registry
        self._clock = clock
        self._apply = apply
        self._pool_changed = pool_changed
        self._timings = timings
        self._watched: dict[str, Watched] = {}
        self._leaving: dict[str, Watched] = {}
        """Removed, with streams that are not over yet."""
        self._from_settings: set[str] = set()
        self._started = 0

    # --- operators

    async def add(self, upstream: UpstreamSpec) -> None:
        """Put an upstream into the pool, until it is removed or the daemon ends. Raises `ConfigError`."""
        backend = await resolved(upstream)
        changes = UpstreamChanges((upstream,), (), (), ())
        if upstream.name in self._watched:
            raise ConfigError(f"upstream: there is already one named {upstream.name!r}")
        self._check(changes)
        self._start(upstream, backend)

    def remove(self, name: str) -> int:
        """No new work for it; it leaves when it is idle. How many requests it still has. Raises `KeyError`."""
        watched = self._watched.pop(name)
        self._from_settings.discard(name)
        now = self._clock.time()
        member = self._registry.member(watched.lease_id)
        if member is None:  # another backend has taken its name, after it was dead for long
            watched.stop()
            return 0
        self._leaving[name] = watched
        self._apply(self._registry.drain(name, now))
        running = self._registry.ledger.in_flight[member.index]
        log.info("upstream %s is removed; %d requests finish there", name, running)
        self.advance(now)
        return running

    def trouble(self, name: str) -> str | None:
        """How the last probe of this upstream failed; ``None`` where it did not, or there is no such upstream."""
        watched = self._watched.get(name) or self._leaving.get(name)
        return watched.trouble if watched is not None else None

    def doubled(self, name: str) -> str | None:
        """A warning if another backend is at this one's address, with the same key: its slots would count twice."""
        found = self._registry.named(name)
        if found is None:
            return None
        place = _place(found.spec)
        for member in self._registry.members():
            spec = member.spec
            if spec.name != name and _place(spec) == place:
                return f"{name!r} and {spec.name!r} are both at {spec.host}:{spec.port}: its slots count twice"
        return None

    # --- settings

    def plan(self, wanted: Sequence[UpstreamSpec]) -> UpstreamChanges:
        """What has to be done so that the settings' upstreams are these."""
        return plan_upstreams(
            {name: watched.upstream for name, watched in self._watched.items()}, self._from_settings, wanted
        )

    async def resolve(self, changes: UpstreamChanges) -> dict[str, BackendSpec]:
        """The new backends by name; nothing has changed yet. One that has no address is dead until it has: a name that
        cannot be looked up must not keep the others from serving."""
        new = (*changes.added, *changes.replaced)
        return {spec.name: spec for spec in await asyncio.gather(*map(_resolved_or_not, new))}

    def take_over(self, wanted: Sequence[UpstreamSpec], backends: Mapping[str, BackendSpec]) -> UpstreamChanges:
        """Change to the settings' upstreams; ``backends`` has the new ones. Raises `ConfigError` before any change."""
        changes = self.plan(wanted)  # anew: while names were looked up, an operator may have added one, or removed one
        self._check(changes)
        if missing := [spec.name for spec in (*changes.added, *changes.replaced) if spec.name not in backends]:
            raise ConfigError(f"upstream: {missing[0]!r} was added or removed at the same time; try again")
        for name in (*changes.removed, *(spec.name for spec in changes.replaced)):
            self.remove(name)
        for spec in (*changes.replaced, *changes.added):
            self._start(spec, backends[spec.name])
        for spec in changes.changed:
            self._watched[spec.name].change(spec)
        self._from_settings = {spec.name for spec in wanted}
        return changes

    def _check(self, changes: UpstreamChanges) -> None:
        for spec in changes.added:
            holder = self._registry.named(spec.name)
            if holder is not None and spec.name not in self._leaving:
                message = f"the name belongs to the {holder.spec.kind} backend at {holder.spec.host}:{holder.spec.port}"
                raise ConfigError(f"upstream: {spec.name!r}: {message}; give another with ;name=NAME")
        if len(self._watched) + len(changes.added) - len(changes.removed) > UPSTREAMS_MAX:
            raise ConfigError(f"upstream: expected at most {UPSTREAMS_MAX}")

    def _start(self, upstream: UpstreamSpec, backend: BackendSpec) -> None:
        if (old := self._leaving.pop(upstream.name, None)) is not None:
            self._leave(old)  # it is draining, so its streams go on without a place in the pool
        self._started += 1
        watched = Watched(self, upstream, backend, instance=f"{upstream.url} {self._started}")
        self._watched[upstream.name] = watched
        watched.start()
        if (warning := self.doubled(upstream.name)) is not None:
            log.warning("upstream: %s", warning)

    # --- what is watched

    def register(self, spec: BackendSpec, lease_id: int = 0) -> int:
        """Enter or update a spec; its lease. What runs at the old address of one that has moved goes on."""
        there, now = has_address(spec), self._clock.time()
        known = spec.tls and bool(spec.models) and there
        drained = self._moved_away(spec, lease_id, now)
        found = self._registry.register(spec, now, timings=PASSIVE if known else self._timings)
        if isinstance(found, Refused):
            raise ConfigError(f"upstream {spec.name}: {found.message}")
        self._apply(found.transitions)
        member = self._registry.member(found.lease_id)
        if known and member is not None and member.state is not State.ALIVE:  # it has listed its models only now
            self._apply(self._registry.heard(found.lease_id, now))
        for _ in range(0 if there else self._timings.dead_failures):
            self._apply(self._registry.probe_failed(found.lease_id, now))
        if drained:
            self._apply(self._registry.drain(spec.name, now))
        self._pool_changed(())
        return found.lease_id

    def _moved_away(self, spec: BackendSpec, lease_id: int, now: float) -> bool:
        """Let go of its place at another address, without breaking its streams. Whether it was drained there."""
        member = self._registry.member(lease_id)
        if member is None or member.spec.address == spec.address:
            return False
        drained = member.draining
        self._apply(self._registry.drain(spec.name, now))
        self._apply(self._registry.leave(lease_id, now))
        return drained

    def lost(self, name: str, lease_id: int) -> bool:
        """Whether it is in the pool no more, though it should be: dead for long, it lost its name to another."""
        return self._registry.member(lease_id) is None and name not in self._leaving

    def probed(self, spec: BackendSpec, lease_id: int, healthy: bool, load: Load | None) -> None:
        """The outcome of a probe."""
        if spec.tls:
            return
        now = self._clock.time()
        if healthy:
            self._apply(self._registry.probe_ok(lease_id, now, load))
        else:
            self._apply(self._registry.probe_failed(lease_id, now))

    def advance(self, now: float) -> None:
        """Every tick: let go of removed ones that are idle."""
        for name, watched in list(self._leaving.items()):
            member = self._registry.member(watched.lease_id)
            if member is None:
                del self._leaving[name]
                watched.stop()
            elif not member.draining:  # its drain was taken back, and so its removal
                del self._leaving[name]
                self._watched[name] = watched
            elif not self._registry.ledger.in_flight[member.index]:
                del self._leaving[name]
                self._leave(watched)

    def _leave(self, watched: Watched) -> None:
        watched.stop()
        self._apply(self._registry.leave(watched.lease_id, self._clock.time()))


async def _resolved_or_not(upstream: UpstreamSpec) -> BackendSpec:
    try:
        return await resolved(upstream)
    except NoAddress as error:
        log.warning("%s; it is dead until it has one", error)
        return unresolved(upstream)


def _place(spec: BackendSpec) -> tuple[object, ...]:
    """What makes two of them the same server to us, and the same account there."""
    return spec.address, spec.tls, spec.path_prefix, spec.authorization
