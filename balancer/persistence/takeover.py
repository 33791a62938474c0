"""Takes the cache's file over from a daemon that still has it, as one that drains while its successor starts.

Until then the cache serves without a file. The file is asked for in a thread, again and again for a while, and read
there; what it holds comes into the store by and by, where there is room: what came meanwhile is newer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from balancer.cache.entry import Entry
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.ports import Clock
from balancer.exchange.trials import Trials
from balancer.persistence.file import CacheFile, FileBusy, Kept
from balancer.persistence.keeper import CacheKeeper, TakenOver, await_vector

TRY_EVERY_S: Final = 0.5
GIVEN_UP_S: Final = 600.0
A_TURN: Final = 500
"""Entries that come into the store in one tick: about two milliseconds."""
PURGES_MAX: Final = 1000
"""Beyond these nothing of the file is taken at all."""
_CLOSE_WAIT_S: Final = 1.0

log = logging.getLogger(__name__)


class TakeoverKeeper:
    """A keeper in waiting, then in office. The arguments are those of `CacheKeeper`, but for the file."""

    def __init__(
        self,
        store: CacheStore,
        lane: CacheLane,
        path: Path,
        clock: Clock,
        unix_time: Callable[[], float],
        embedder_id: Callable[[], str | None],
    ) -> None:
        self._store = store
        self._lane = lane
        self._path = path
        self._clock = clock
        self._unix_time = unix_time
        self._embedder_id = embedder_id
        self._trials: Trials | None = None
        self._began = clock.time()
        self._next_at = self._began + TRY_EVERY_S
        self._trouble: str | None = f"{path} is in use by another process"
        self._thread: threading.Thread | None = None
        self._got: tuple[CacheFile, Kept] | None = None
        """Set by the thread."""
        self._failed: str | None = None
        """Likewise: why it need not be tried again."""
        self._left, self._least = -1, 0
        """``_left``: entries before this index are still to be looked at (-1: nothing was read yet); ``_least``: those
        before this one never will be, for want of room."""
        self._purges: list[Purge] = []
        """What was forgotten meanwhile."""
        self._closed = False
        self._taken = 0
        """Entries of the file that are in the store now."""
        self._keeper: CacheKeeper | None = None

    def advance(self, now: float) -> None:
        """Every tick."""
        if self._keeper is not None:
            self._keeper.advance(now)
        elif self._thread is not None:
            if not self._thread.is_alive():
                self._go_on(now)
        elif now >= self._next_at and self._failed is None and not self._closed:
            arguments = (now, self._unix_time() - now)  # of one moment: to open the file may take seconds
            self._thread = threading.Thread(target=self._try, args=arguments, name="cache-file-late", daemon=True)
            self._thread.start()

    def learn(self, trials: Trials) -> None:
        """Keep what near answers teach, too, once there is a file."""
        self._trials = trials

    def purged(self, purge: Purge) -> None:
        """Nor is what the file holds of it to come."""
        if self._keeper is None:
            self._purges = [*self._purges, purge] if len(self._purges) < PURGES_MAX else [Purge()]

    def close(self) -> None:
        """Write what is left, if the file was had."""
        self._closed = True
        if self._thread is not None:
            self._thread.join(_CLOSE_WAIT_S)
            while self._got is not None and self._keeper is None:
                self._take()
        if self._keeper is not None:
            self._keeper.close()

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        if self._keeper is not None:
            return self._keeper.stats()
        return {
            "path": str(self._path),
            "restored": 0,
            "written": 0,
            "unembedded": len(self._lane.unembedded),
            "trouble": self._trouble,
        }

    def _try(self, now: float, unix_offset_s: float) -> None:
        """In the thread."""
        try:
            file = CacheFile(self._path, 0.0)
            self._got = file, file.read(now, unix_offset_s, self._store.limits.max_entries)
        except FileBusy:
            pass
        except Exception as error:  # whatever it is, it would be the same the next time
            self._failed = str(error) or type(error).__name__

    def _go_on(self, now: float) -> None:
        """The thread has ended."""
        if self._got is not None:
            self._take()
            return
        self._thread, self._next_at = None, now + TRY_EVERY_S
        if self._failed is None and now - self._began >= GIVEN_UP_S:
            self._failed = f"{self._path} is in use by another process since {GIVEN_UP_S:g} s"
        if self._failed is not None:
            self._trouble = self._failed
            log.warning("%s: the cache's entries will not be kept", self._failed)

    def _take(self) -> None:
        """Some of the entries, the latest of those that there is room for; after the last of them the file is ours."""
        assert self._got is not None
        file, kept = self._got
        if self._left < 0:
            self._lane.epochs.merge(kept.epochs)
            self._store.denials.restore(kept.denied)
            room = max(self._store.limits.max_entries - len(self._store), 0)
            self._left, self._least = len(kept.entries), max(len(kept.entries) - room, 0)
        now, begin = self._clock.time(), max(self._left - A_TURN, self._least)
        for each in reversed(kept.entries[begin : self._left]):
            entry = each.entry
            if not self._fits(entry) or any(purge.takes(entry) for purge in self._purges):
                continue
            if self._store.entry(entry.key) is not None or not self._store.restore(entry, now, oldest=True):
                continue
            self._taken += 1
            await_vector(self._lane, each)
        self._left = begin
        if self._left > self._least:
            return
        log.info("%s is ours now: %d cached answers of an earlier run", self._path, self._taken)
        self._keeper = CacheKeeper(
            self._store,
            self._lane,
            file,
            self._clock,
            self._unix_time,
            self._embedder_id,
            taken=TakenOver(self._taken, kept.learned),
        )
        self._got, self._purges = None, []
        if self._trials is not None:
            self._keeper.learn(self._trials)

    def _fits(self, entry: Entry) -> bool:
        store, limits = self._store, self._store.limits
        return len(store) < limits.max_entries and store.size_bytes + entry.size_bytes <= limits.max_bytes
