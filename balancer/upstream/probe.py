"""What backends that do not register would have said: health, models and load, asked for every two seconds.

``GET /health`` where the engine has it, else ``GET /v1/models``, which also says what it offers, and ``GET /metrics``
where that tells its load. Out after three failures in a row. Providers over HTTPS are asked for their models only, and
once these are known every 30 s: what they charge for and limit is requests.

A probe that was not answered in time says nothing where the time was this process's own: where its loop was late, or
where the engine's tokens came meanwhile. Else a balancer with too much to do would take all its backends for dead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from balancer.pool.backend import BackendSpec
from balancer.pool.load import Load
from balancer.upstream.connection import LATE_S, ConnectionPool
from balancer.upstream.fetch import Denied, FetchError, NotAsked, NotThere, fetch
from balancer.wire.engine_metrics import EngineLoad, parse_load
from balancer.wire.model_list import Listing, parse_listing

log = logging.getLogger("balancer.upstream")

PROBE_INTERVAL_S = 2.0
PROBE_TIMEOUT_S = 2.0
MODELS_INTERVAL_S = 30.0
ANSWER_MAX_BYTES: Final = 1 << 20
METRICS_MAX_BYTES: Final = 4 << 20
"""vLLM's are some 200 KiB, and grow with every model and adapter."""


class Late(Exception):
    """No answer, and no time or means of this process for it."""


class Prober:
    """Watches one upstream. ``listed`` is told what it offers, ``probed`` how each probe went, with the load;
    ``heard_since`` tells whether tokens came from it since then."""

    def __init__(
        self,
        spec: BackendSpec,
        connections: ConnectionPool,
        listed: Callable[[Listing], None],
        probed: Callable[[bool, Load | None], None],
        heard_since: Callable[[float], bool] = lambda since: False,
    ) -> None:
        self.spec = spec
        """Where and as whom to ask; may be replaced by one of another key."""
        self.trouble: str | None = None
        """How the last probe failed; ``None`` if it did not."""
        self.denied = False
        """It was answered, though with a refusal."""
        self._connections = connections
        self._listed = listed
        self._probed = probed
        self._heard_since = heard_since
        self._listed_at: float | None = None
        self._has_health = True
        self._has_metrics = not spec.tls

    async def run(self) -> None:
        """Probe for ever."""
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._round(began)
            except Exception as error:  # one that nobody probes would stay for ever as it is now
                trouble = f"a probe broke: {error}"
                if self.trouble != trouble:
                    log.exception("upstream %s: a probe broke", self.spec.name)
                self.trouble = trouble
            spent = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.0, self._interval_s - spent))

    @property
    def _interval_s(self) -> float:
        """A provider is only asked for its models; one that does not answer yet may be starting."""
        settled = self.spec.models or self._listed_at is not None or self.denied
        return MODELS_INTERVAL_S if self.spec.tls and settled else PROBE_INTERVAL_S

    async def _round(self, now: float) -> None:
        try:
            await self._probe(now)
            load = await self._load()
        except Late:
            log.debug("upstream %s: a probe came to nothing, for reasons of this process", self.spec.name)
        except (FetchError, TimeoutError, ValueError) as error:
            if self.trouble is None:
                log.warning("upstream %s: %s", self.spec.name, str(error) or "no answer in time")
            self.trouble = str(error) or "no answer in time"
            self.denied = isinstance(error, Denied)
            self._start_anew()
            self._probed(False, None)
        else:
            self._probed(True, load)
            self.trouble, self.denied = None, False

    def _start_anew(self) -> None:
        """Whoever answers there next may be another engine."""
        self._listed_at = None
        self._has_health = True
        self._has_metrics = not self.spec.tls

    async def _probe(self, now: float) -> None:
        if self._listed_at is None or now - self._listed_at >= MODELS_INTERVAL_S:
            listing = parse_listing(await self._get("/v1/models"))
            self._listed(listing)
            self._listed_at = now
            if listing.engine == "sglang":
                self._has_health = False  # there it generates a token
        elif self._has_health:
            try:
                await self._get("/health")
            except NotThere:
                self._has_health = False
        else:
            await self._get("/v1/models")

    async def _load(self) -> Load | None:
        """The engine's load, where it tells it. That it cannot tell says nothing of its health."""
        if not self._has_metrics:
            return None
        try:
            text = await self._get("/metrics", METRICS_MAX_BYTES)
        except NotThere:
            self._has_metrics = False
            return None
        except (FetchError, TimeoutError, Late):
            return None
        found = parse_load(text.decode("utf-8", "replace"))
        self._has_metrics = found is not None
        return as_load(found) if found is not None else None

    async def _get(self, path: str, max_bytes: int = ANSWER_MAX_BYTES) -> bytes:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await fetch(self._connections, self.spec, path, max_bytes)
        except NotAsked:
            raise Late from None
        except (FetchError, TimeoutError) as error:
            late_s = loop.time() - began - PROBE_TIMEOUT_S
            waited = isinstance(error, TimeoutError) or late_s > -LATE_S  # dialling has its own limit
            if late_s > LATE_S or (waited and self._heard_since(began)):
                raise Late from None
            raise


def as_load(found: EngineLoad) -> Load:
    """An engine's own numbers as a beat would tell them."""
    used, total = found.kv_tokens_used_and_total
    return Load(running=found.running, waiting=found.waiting, kv_tokens_used=used, kv_tokens_total=total)
