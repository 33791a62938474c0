"""Keeps the cache's entries, and what the bound has learned, in a file over a restart, off the way of requests.

Changes are handed to the file's thread about once a second, so a kill loses the last second (and `LEARNED_EVERY_S` of
what was learned). Vectors are not kept: after a start the questions are embedded anew, in the background and the latest
first, so that another embedder, model or verdict finds nothing of its predecessor's; until then an entry answers equal
requests alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from balancer.cache.changes import Came, Change
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore
from balancer.cache.unembedded import Waiting
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.ports import Clock
from balancer.exchange.trials import Trials
from balancer.persistence.file import Batch, CacheFile
from balancer.persistence.memory import Snapshot, recall, snapshot, version
from balancer.persistence.rows import KeptEntry

SAVE_EVERY_S: Final = 1.0
RETRY_S: Final = 30.0
LEARNED_EVERY_S: Final = 10.0
"""What was learned is written as a whole: some microseconds for a pool, some milliseconds for all that there may be."""
SIMPLE: Final = "simple"
"""Stands for the name of a verdict that has none."""

log = logging.getLogger(__name__)


class TakenOver(NamedTuple):
    """What came of a file while its store was in use already."""

    entries: int
    learned: str | None
    """As in `balancer.persistence.file.Kept`."""


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
        *,
        taken: TakenOver | None = None,
    ) -> None:
        """``taken``: what was in the file is in the store already; ``None``: it is read now."""
        self._store = store
        self._lane = lane
        self._file = file
        self._clock = clock
        self._unix_time = unix_time
        self._embedder_id = embedder_id
        self._next_at = 0.0
        self._whole = taken is not None
        """All is to be written anew."""
        self._dead: list[bytes] = []
        """Keys in the file that are to leave it, beside those that leave the store."""
        self._trials: Trials | None = None
        self._learned_at, self._learned_version = 0.0, 0
        self._restored, self._told = taken if taken is not None else self._restore()
        """How many entries, and what an earlier run had learned, until somebody wants to know."""
        self._changes = store.follow()
        self._denied = store.denials.count if taken is None else -1
        self._epochs = lane.epochs.as_dict() if taken is None else None

    def _restore(self) -> TakenOver:
        """What the file holds into the store."""
        now = self._clock.time()
        kept = self._file.read(now, self._unix_time() - now, self._store.limits.max_entries)
        self._lane.epochs.restore(kept.epochs)
        self._store.denials.restore(kept.denied)
        restored = [each for each in kept.entries if self._store.restore(each.entry, now)]
        for each in restored:
            await_vector(self._lane, each)
        self._dead = kept.lost + [each.entry.key for each in kept.entries if self._store.entry(each.entry.key) is None]
        log.info("%d cached answers of an earlier run, from %s", len(self._store), self._file.path)
        return TakenOver(len(self._store), kept.learned)

    def learn(self, trials: Trials) -> None:
        """Keep what near answers teach, too, and tell what they taught before."""
        self._trials = trials
        told, self._told = self._told, None
        if told is not None:
            now = self._clock.time()
            judge, _ = _judged(trials)
            found = recall(trials.bound, told, self._verdict(), judge, now, self._unix_time() - now, self._created)
            if found is not None and trials.checks is not None:
                trials.checks.recall(found.judge, found.controls)
            what = "taken up again" if found is not None else "of another verdict or damaged, and not taken up"
            log.info("what near answers taught an earlier run is %s", what)
        self._learned_version = -1 if self._whole else version(trials.bound, _judged(trials)[1])

    def purged(self, purge: Purge) -> None:
        """The store tells what leaves it."""

    def advance(self, now: float) -> None:
        """Every tick."""
        if now >= self._next_at and self._file.idle:
            self._next_at = now + SAVE_EVERY_S
            if self._file.trouble is not None and not self._whole:
                self._whole, self._next_at = True, now + RETRY_S
                self._learned_version = -1
            else:
                self._save(self._learned(now) if now >= self._learned_at else None)

    def close(self) -> None:
        """Write what is left."""
        if self._file.trouble is None:
            self._save(self._learned(self._clock.time()))
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

    def _created(self, key: bytes) -> float | None:
        entry = self._store.entry(key)
        return entry.created if entry is not None else None

    def _verdict(self) -> str:
        verdict, threshold = self._store.verdict, self._store.limits.threshold
        name, threshold = (verdict.id, verdict.threshold) if verdict is not None else (SIMPLE, threshold)
        return f"{name} {threshold:g} {self._lane.model}"

    def _learned(self, now: float) -> Snapshot | None:
        """What was learned, if that is more than before."""
        trials = self._trials
        if trials is None:
            return None
        judge, controls = _judged(trials)
        if (found := version(trials.bound, controls)) == self._learned_version:
            return None
        self._learned_version, self._learned_at = found, now + LEARNED_EVERY_S
        return snapshot(trials.bound, self._verdict(), judge, controls, self._unix_time() - now)

    def _save(self, learned: Snapshot | None) -> None:
        changes = self._changes.take()
        whole = changes is None or self._whole
        came, gone = (self._all(), list[bytes]()) if changes is None or self._whole else _last(changes)
        gone += self._dead
        denials, epochs = self._store.denials, self._lane.epochs.as_dict()
        denied = denials.pairs() if denials.count != self._denied else None
        told = epochs if epochs != self._epochs else None
        self._whole, self._dead, self._denied, self._epochs = False, [], denials.count, epochs
        if came or gone or whole or denied is not None or told is not None or learned is not None:
            offset_s = self._unix_time() - self._clock.time()
            self._file.save(Batch(came, gone, whole, denied, told, self._embedder_id(), offset_s, learned))

    def _all(self) -> list[Came]:
        waiting = self._lane.unembedded.scopes()
        return [Came(entry, scope or waiting.get(entry.key)) for entry, scope in self._store.entries()]


def await_vector(lane: CacheLane, kept: KeptEntry) -> None:
    """Its question is embedded anew, if it may answer near ones."""
    if kept.scope is not None and kept.embedder is not None:
        lane.unembedded.add(Waiting(kept.entry.key, kept.scope, kept.embedder))


def _judged(trials: Trials) -> tuple[str, dict[str, int]]:
    """Who judges, and what the controls have told of them; of nobody nothing."""
    return trials.checks.learned() if trials.checks is not None else ("", {})


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
