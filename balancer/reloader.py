"""Reads the settings again and changes the running rooms to them: all or nothing, and no stream notices.

Everything that can fail comes first (reading, checking, looking names up); what then follows is assignments, in one
step of the event loop. Requests that run keep the limits and the tenant that they began with.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from balancer.config import Config
from balancer.doors.agents import Agents
from balancer.doors.clients import ClientLimits, Clients
from balancer.errors import ConfigError
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.first_tokens import FirstTokens
from balancer.exchange.timeline import Limits
from balancer.reload_plan import Changes, plan_reload, reload_text
from balancer.routing.policies import make_policy
from balancer.routing.prefer import preference
from balancer.routing.select import Router
from balancer.upstream.watch import Watch

log = logging.getLogger("balancer")


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a reload reaches."""

    dispatcher: Dispatcher
    router: Router
    clients: Clients
    agents: Agents
    watch: Watch


class Reread(Protocol):
    def __call__(self) -> Config:
        """The settings as they are now: flags, environment, files. Raises `ConfigError`."""


class Reloader:
    """``settle`` hears the new settings when they hold, for what is not among the rooms."""

    def __init__(
        self,
        config: Config,
        rooms: Rooms,
        reread: Reread | None,
        settle: Callable[[Config], None] = lambda config: None,
    ) -> None:
        self.config = config
        """The settings that hold."""
        self._rooms = rooms
        self._reread = reread
        self._settle = settle
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """The settings' upstreams into the pool. Raises `ConfigError`."""
        watch = self._rooms.watch
        watch.take_over(self.config.upstream, await watch.resolve(watch.plan(self.config.upstream)))

    async def reload(self) -> dict[str, Any]:
        """Take over what has changed; tells what that was. Raises `ConfigError`, and then nothing has changed."""
        async with self._lock:
            try:
                found = await self._reload()
            except ConfigError as error:
                log.error("reload failed, the old settings stay: %s", error)
                raise
        log.info("reloaded: %s", reload_text(found) or "nothing has changed")
        return found

    async def on_signal(self) -> None:
        """The same where nobody waits for the answer: it is in the log."""
        with contextlib.suppress(ConfigError):
            await self.reload()

    async def _reload(self) -> dict[str, Any]:
        if self._reread is None:
            raise ConfigError("these settings were read from nowhere: they cannot be read again")
        new = await asyncio.to_thread(self._reread)
        changes = plan_reload(self.config, new)
        watch = self._rooms.watch
        backends = await watch.resolve(watch.plan(new.upstream))
        upstreams = watch.take_over(new.upstream, backends)
        self._apply(new, changes)
        return {
            "changed": list(changes.options),
            "backends": {
                "added": [spec.name for spec in upstreams.added],
                "changed": [spec.name for spec in (*upstreams.changed, *upstreams.replaced)],
                "removed": list(upstreams.removed),
            },
        }

    def _apply(self, new: Config, changes: Changes) -> None:
        rooms = self._rooms
        if changes.policy:
            rooms.router.policy = make_policy(new.policy)
        if changes.keys:
            rooms.clients.keys = new.keys
        rooms.dispatcher.limits = exchange_limits(new)
        rooms.dispatcher.default_model = new.default_model
        rooms.dispatcher.rules = new.models
        rooms.dispatcher.hedging = (rooms.dispatcher.hedging or FirstTokens()) if new.hedge else None
        rooms.router.preference = preference(new.prefer)
        rooms.clients.explains = new.explain
        rooms.dispatcher.queue.resize(new.queue_size, new.queue_bytes)
        rooms.clients.limits = client_limits(new)
        rooms.agents.token = new.token
        rooms.agents.networks = new.backends_from
        self.config = new
        self._settle(new)


def exchange_limits(config: Config) -> Limits:
    """How long the parts of an exchange may take."""
    return Limits(
        first_token_s=config.first_token_timeout_s,
        between_tokens_s=config.token_timeout_s,
        queue_s=config.queue_timeout_s,
        request_s=config.request_timeout_s,
    )


def client_limits(config: Config) -> ClientLimits:
    """How long clients may take."""
    return ClientLimits(write_s=config.write_timeout_s, line_s=config.head_timeout_s, body_s=config.body_timeout_s)
