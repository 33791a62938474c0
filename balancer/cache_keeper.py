"""Keeps the cache's entries in a file over a restart, off the way of requests.

Changes are handed to the file's thread about once a second, so a kill loses the last second. Vectors are not kept:
after a start the questions are embedded anew, in the background and the latest first, so that another embedder, model
or verdict finds nothing of its predecessor's; until then an entry answers equal requests alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from balancer.cache.changes import Came, Change
from balancer.cache.store import CacheStore
from balancer.cache.unembedded import Waiting
from balancer.cache_file import Batch, CacheFile
from balancer.exchange.cached import CacheLane
from balancer.exchange.ports import Clock

SAVE_EVERY_S: Final = 1.0
RETRY_S: Final = 30.0

log = logging.getLogger(__name__)


class CacheKeeper:
    """One store's. ``unix_time`` gives Unix seconds; ``embedder_id`` names the embedder once it is known."""

    def __init__(
        self,
        store: CacheStore,
        lane: CacheLane,
        file: CacheFile,
        clock: Clock,
        unix_time: Callable[[], float],
        embedder_id: Callable[[], str | None],
    ) -> None:
        self._store = store
        self._lane = lane
        self._file = file
        self._clock = clock
        self._unix_time = unix_time
        self._embedder_id = embedder_id
        self._next_at = 0.0
        self._whole = False
        self._dead: list[bytes] = []
        """Keys in the file that are to leave it, beside those that leave the store."""
        self._restored = self._restore()
        self._changes = store.follow()
        self._denied = store.denials.count
        self._epochs = lane.epochs.as_dict()

    def _restore(self) -> int:
        now = self._clock.time()
        kept = self._file.read(now, self._unix_time() - now, self._store.limits.max_entries)
        self._lane.epochs.restore(kept.epochs)
        self._store.denials.restore(kept.denied)
        restored = [each for each in kept.entries if self._store.restore(each.entry, now)]
        for entry, scope, embedder in restored:
            if scope is not None and embedder is not None:
                self._lane.unembedded.add(Waiting(entry.key, scope, embedder))
        self._dead = kept.lost + [each.entry.key for each in kept.entries if self._store.entry(each.entry.key) is None]
        log.info("%d cached answers of an earlier run, from %s", len(self._store), self._file.path)
        return len(self._store)

    def advance(self, now: float) -> None:
        """Every tick."""
        if now >= self._next_at and self._file.idle:
            self._next_at = now + SAVE_EVERY_S
            if self._file.trouble is not None and not self._whole:
                self._whole, self._next_at = True, now + RETRY_S
            else:
                self._save()

    def close(self) -> None:
        """Write what is left."""
        if self._file.trouble is None:
            self._save()
        self._file.close()

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "path": str(self._file.path),
            "restored": self._restored,
            "written": self._file.written,
            "unembedded": len(self._lane.unembedded),
            "trouble": self._file.trouble,
        }

    def _save(self) -> None:
        changes = self._changes.take()
        whole = changes is None or self._whole
        came, gone = (self._all(), list[bytes]()) if changes is None or self._whole else _last(changes)
        gone += self._dead
        denials, epochs = self._store.denials, self._lane.epochs.as_dict()
        denied = denials.pairs() if denials.count != self._denied else None
        told = epochs if epochs != self._epochs else None
        self._whole, self._dead, self._denied, self._epochs = False, [], denials.count, epochs
        if came or gone or whole or denied is not None or told is not None:
            offset_s = self._unix_time() - self._clock.time()
            self._file.save(Batch(came, gone, whole, denied, told, self._embedder_id(), offset_s))

    def _all(self) -> list[Came]:
        waiting = self._lane.unembedded.scopes()
        return [Came(entry, scope or waiting.get(entry.key)) for entry, scope in self._store.entries()]


def _last(changes: list[Change]) -> tuple[list[Came], list[bytes]]:
    """The last that became of each key: entries in the order in which they came, and the keys that are gone."""
    came: dict[bytes, Came] = {}
    gone: dict[bytes, None] = {}
    for change in changes:
        if isinstance(change, Came):
            came[change.entry.key] = change
        else:
            came.pop(change, None)
            gone[change] = None
    return list(came.values()), [key for key in gone if key not in came]
