"""Asks a foreign engine at a steady pace how it is, beside the beats: those take what is known, and never wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from backend.agent.discovery import Found, Wanted, discover
from backend.agent.fetch import EngineHttp, EngineSilent
from backend.agent.watch import EngineWatch
from backend.errors import EngineUnavailable
from balancer.wire import engine_metrics

log = logging.getLogger(__name__)

METRICS_RETRY_S: Final = 30.0
"""An engine without metrics is asked for them again after this long."""
DISCOVER_S: Final = 60.0
"""Its models are asked for again after this long: Ollama gets new ones at any time."""
_NO_METRICS: Final = (
    "no load in the engine's /metrics, so its beats carry none (SGLang: --enable-metrics, llama.cpp: --metrics)"
)


class Poller:
    """One engine; ``changed`` is told when it is found to offer something else. `run` ends only when cancelled."""

    def __init__(
        self,
        http: EngineHttp,
        found: Found,
        wanted: Wanted,
        *,
        interval_s: float,
        changed: Callable[[Found], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._found = found
        self._wanted = wanted
        self._interval_s = interval_s
        self._changed = changed
        self._clock = clock
        self._stalled = False
        now = clock()
        self.watch = EngineWatch(now)
        self._metrics_at = now
        self._has_metrics: bool | None = None
        self._discover_at = now + DISCOVER_S
        self.polled = asyncio.Condition()
        """Notified after every poll."""

    async def run(self) -> None:
        while True:
            began = self._clock()
            await self._poll(began)
            self._tell_stall()
            async with self.polled:
                self.polled.notify_all()
            await asyncio.sleep(max(self._interval_s / 2, began + self._interval_s - self._clock()))

    async def _poll(self, now: float) -> None:
        was_there = self.watch.answers
        try:
            answer = await self._http.get(self._found.health_path)
            if answer.status != 200:
                raise EngineSilent(f"{self._found.health_path} answered {answer.status}")
            if not was_there or now >= self._discover_at:
                await self._discover(now)
        except (EngineSilent, EngineUnavailable) as silent:
            self.watch.failed()
            if was_there and not self.watch.answers:
                log.warning("the engine does not answer, not ready: %s", silent)
            return
        if was_there:
            self.watch.answered()
        else:
            self.watch.began_anew(self._clock())
            log.info("the engine answers again")
        if now >= self._metrics_at:
            await self._measure()

    async def _discover(self, now: float) -> None:
        """It may have been started anew with other models, or been given new ones."""
        self._discover_at = now + DISCOVER_S
        found = await discover(self._http, self._wanted)
        if found != self._found:
            self._found = found
            self._changed(found)

    async def _measure(self) -> None:
        try:
            answer = await self._http.get("/metrics")
        except EngineSilent as silent:
            log.debug("no metrics now: %s", silent)
            return
        text = answer.body.decode("utf-8", "replace") if answer.status == 200 else ""
        metrics = engine_metrics.parse_load(text)
        now = self._clock()
        if metrics is None:
            self.watch.unmeasured()
            self._metrics_at = now + METRICS_RETRY_S
        else:
            self.watch.measured(metrics, now)
        if self._has_metrics is not (metrics is not None):
            self._has_metrics = metrics is not None
            log.info("load is read from the engine's /metrics" if self._has_metrics else _NO_METRICS)

    def _tell_stall(self) -> None:
        stalled, self._stalled = self._stalled, self.watch.load(self._clock()).stuck
        if self._stalled and not stalled:
            log.warning("the engine has work and makes no progress, not ready")
        elif stalled and not self._stalled and self.watch.answers:
            log.info("the engine makes progress again")
