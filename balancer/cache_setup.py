"""The cache as the settings want it: its bounds, its rules, its verdict, and the file that keeps its entries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from balancer.cache.epochs import Epochs
from balancer.cache.keys import KeyRules
from balancer.cache.store import CacheLimits, CacheStore
from balancer.config import Config
from balancer.errors import ConfigError
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.ports import Clock, Embedder
from balancer.persistence.file import CacheFile, FileBusy
from balancer.persistence.keeper import CacheKeeper
from balancer.persistence.takeover import TakeoverKeeper
from balancer.verdict_file import VERDICT, learned_verdict

log = logging.getLogger(__name__)


def cache_lane(
    config: Config, embedder: Embedder | None, clock: Clock, unix_time: Callable[[], float] = time.time
) -> CacheLane | None:
    """The cache; ``None`` where it is turned off. Without an embedder it has its exact tier alone.

    Raises `ConfigError` where its file can't be. One that another process uses is waited for.
    """
    if not config.cache:
        return None
    limits = CacheLimits(max_entries=config.cache_size, max_bytes=config.cache_bytes, threshold=config.cache_threshold)
    verdict = learned_verdict(VERDICT, config.cache_wrong_share) if embedder is not None else None
    store = CacheStore(limits, verdict)
    lane = CacheLane(
        store,
        embedder,
        clock,
        wait_s=config.cache_wait_ms / 1000,
        ttl_s=config.cache_ttl_s,
        rules=KeyRules(temperature_max=config.cache_temperature_max, per_user=config.cache_per_user),
        ttl_timely_s=config.cache_timely_ttl_s,
        epochs=Epochs(config.cache_version),
        model=config.cache_model or "",
    )
    if config.cache_file is not None:
        known = (lambda: embedder.id) if embedder is not None else lambda: None
        try:
            lane.keeper = CacheKeeper(store, lane, CacheFile(config.cache_file), clock, unix_time, known)
        except FileBusy as error:  # perhaps of a predecessor that still drains
            log.warning("%s: the cache begins empty, and takes the file once it is free", error)
            lane.keeper = TakeoverKeeper(store, lane, config.cache_file, clock, unix_time, known)
        except OSError as error:
            raise ConfigError(f"cache-file: {config.cache_file}: {error.strerror or error}") from None
    return lane
