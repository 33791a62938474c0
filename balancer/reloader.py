"""Reads the settings again and changes the running rooms to them: all or nothing, and no stream notices.

Everything that can fail comes first (reading, checking, looking names up); what then follows is assignments, in one
step of the event loop (`balancer.rooms`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from balancer.config import Config
from balancer.errors import ConfigError
from balancer.reload_plan import plan_reload, reload_text
from balancer.rooms import Rooms

log = logging.getLogger("balancer")


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
        changed = plan_reload(self.config, new)
        watch = self._rooms.watch
        backends = await watch.resolve(watch.plan(new.upstream))
        upstreams = watch.take_over(new.upstream, backends)
        self._rooms.apply(new)
        self.config = new
        self._settle(new)
        remarks, entered = new.remarks(), (*upstreams.added, *upstreams.replaced)
        for remark in remarks:
            log.warning("%s", remark)
        homeless = [f"upstream {spec.name}: {why}" for spec in entered if (why := watch.trouble(spec.name))]
        return {
            "changed": list(changed),
            "backends": {
                "added": [spec.name for spec in upstreams.added],
                "changed": [spec.name for spec in (*upstreams.changed, *upstreams.replaced)],
                "removed": list(upstreams.removed),
            },
            "warnings": [*remarks, *homeless],
        }
