"""The cache as the settings want it: its bounds, its rules, and the learned verdict from the file that ships with it.

A damaged file costs near matches, never the start: the simple verdict judges instead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from balancer.cache.epochs import Epochs
from balancer.cache.keys import KeyRules
from balancer.cache.learned import BadVerdictFile, LearnedVerdict
from balancer.cache.store import CacheLimits, CacheStore
from balancer.cache_file import CacheFile, FileBusy
from balancer.cache_keeper import CacheKeeper
from balancer.cache_late import LateKeeper
from balancer.config import Config
from balancer.errors import ConfigError
from balancer.exchange.cached import CacheLane
from balancer.exchange.ports import Clock, Embedder

VERDICT: Final = Path(__file__).parent / "cache" / "verdict.npz"
VERDICT_BYTES_MAX: Final = 4 << 20

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
            lane.keeper = LateKeeper(store, lane, config.cache_file, clock, unix_time, known)
        except OSError as error:
            raise ConfigError(f"cache-file: {config.cache_file}: {error.strerror or error}") from None
    return lane


def learned_verdict(path: Path, wrong_share: float) -> LearnedVerdict | None:
    """The verdict of a file; ``None``, and a warning, if it is none or too large."""
    try:
        with path.open("rb") as file:
            data = file.read(VERDICT_BYTES_MAX + 1)
        if len(data) > VERDICT_BYTES_MAX:
            raise BadVerdictFile(f"more than {VERDICT_BYTES_MAX} bytes")
        verdict = LearnedVerdict(data, wrong_share)
    except (OSError, BadVerdictFile) as error:
        log.warning("no learned verdict, near matches are judged by --cache-threshold: %s: %s", path, error)
        return None
    if verdict.threshold > 1:
        log.warning("--cache-wrong-share %g is less than was ever measured: no near match is served", wrong_share)
    return verdict
