"""The cache's entries, and what was learned of them, in a file that survives a restart: SQLite, written by a thread.

The file holds questions and answers in clear text, and nobody but its owner may read it (mode 0600). A file that can't
be read, or of another format, is set aside under another name, and a new one begun: losing the cache costs time, never
the start. What can't be written is told once, and all of it tried again later.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from balancer.cache.changes import Came
from balancer.cache.keys import KEY_BYTES
from balancer.persistence.memory import Snapshot
from balancer.persistence.rows import KeptEntry, decode_row, encode_row

FORMAT: Final = 1
"""Of the rows; another is set aside, not read."""
CLOSE_WAIT_S: Final = 10.0
LOCK_WAIT_S: Final = 0.5
_PAIR_BYTES: Final = 2 * KEY_BYTES
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, entry TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS denied (pair BLOB PRIMARY KEY);
"""

log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What an earlier run left, the least recently used first."""

    entries: list[KeptEntry]
    lost: list[bytes]
    """Keys of rows that can't be read."""
    denied: list[bytes]
    epochs: object
    learned: str | None = None
    """What near answers had taught (`balancer.persistence.memory`)."""


class Batch(NamedTuple):
    """What to write at once."""

    came: list[Came]
    gone: list[bytes]
    whole: bool
    """The entries that came are all there are."""
    denied: list[bytes] | None
    """All pairs, if there are others than before."""
    epochs: dict[str, Any] | None
    """Likewise."""
    embedder: str | None
    unix_offset_s: float
    learned: Snapshot | None = None
    """If there is more than before."""


class FileBusy(Exception):
    """Another process uses it."""


class CacheFile:
    """One batch at a time: who has another waits until ``idle``."""

    def __init__(self, path: Path, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Opens it, setting aside what is there if need be. Raises `FileBusy`, or `OSError` for a bad path."""
        self.path = path
        self._lock_wait_s = lock_wait_s
        self.trouble: str | None = None
        """Why the last batch was not written, if it wasn't."""
        self.written = 0
        """Entries, since the start."""
        self._connection = self._opened()
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """The last batch is written, or was given up (``trouble``)."""
        return self._idle.is_set()

    def read(self, now: float, unix_offset_s: float, entries_max: int) -> Kept:
        """What is in it; before the first `save`."""
        try:
            return self._read(now, unix_offset_s, entries_max)
        except (sqlite3.DatabaseError, ValueError) as error:
            self._connection.close()
            self._set_aside(error)
            self._connection = self._opened()
            return Kept([], [], [], None)

    def save(self, batch: Batch) -> None:
        """Write it by and by; only when ``idle``."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="cache-file", daemon=True)
            self._thread.start()
        self._idle.clear()
        self._work.put(batch)

    def close(self) -> None:
        """What was saved is written first, for at most ``CLOSE_WAIT_S``."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join(CLOSE_WAIT_S)
            if self._thread.is_alive():
                log.warning("%s was not written in %g s; its last entries are lost", self.path, CLOSE_WAIT_S)
                return
        self._connection.close()

    # --- opening

    def _opened(self) -> sqlite3.Connection:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        try:
            return self._connected()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise FileBusy(f"{self.path} is in use by another process") from None
            raise OSError(f"{self.path}: {error}") from None
        except (sqlite3.DatabaseError, ValueError) as error:
            self._set_aside(error)
            return self._opened()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, self._lock_wait_s, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")  # what was purged shall not lie about in free pages
            connection.execute("BEGIN EXCLUSIVE")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise ValueError(f"damaged: {found}")
            connection.executescript(_TABLES)
            format = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
            if format is None:
                connection.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
            elif format != (str(FORMAT),):
                raise ValueError(f"format {format[0]}, not {FORMAT}")
            if connection.in_transaction:
                connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: Exception) -> None:
        aside = self.path.with_name(self.path.name + ".aside")
        self.path.replace(aside)
        log.warning(
            "the cache's file %s can't be read (%s): it is now %s, and a new one begins", self.path, error, aside
        )

    def _read(self, now: float, unix_offset_s: float, entries_max: int) -> Kept:
        execute = self._connection.execute
        (count,) = execute("SELECT count(*) FROM entries").fetchone()
        skipped = max(0, count - entries_max)
        lost = [key for (key,) in execute("SELECT key FROM entries ORDER BY rowid LIMIT ?", (skipped,))]
        entries = []
        for key, text in execute("SELECT key, entry FROM entries ORDER BY rowid LIMIT -1 OFFSET ?", (skipped,)):
            kept = decode_row(key, text, now, unix_offset_s) if isinstance(text, str) else None
            if kept is None:
                lost.append(key)
            else:
                entries.append(kept)
        denied = [pair for (pair,) in execute("SELECT pair FROM denied ORDER BY rowid") if len(pair) == _PAIR_BYTES]
        epochs = execute("SELECT value FROM meta WHERE name = 'epochs'").fetchone()
        learned = execute("SELECT value FROM meta WHERE name = 'learned'").fetchone()
        return Kept(
            entries,
            lost,
            denied,
            json.loads(epochs[0]) if epochs is not None else None,
            learned[0] if learned is not None and isinstance(learned[0], str) else None,
        )

    # --- in the thread

    def _write(self) -> None:
        while (batch := self._work.get()) is not None:
            try:
                self._write_batch(batch)
                if self.trouble is not None:
                    log.warning("the cache's file %s can be written again", self.path)
                self.trouble = None
                self.written += len(batch.came)
            except Exception as error:  # a full disk, mostly; whatever it is, the next batch comes
                if self.trouble is None:
                    log.warning("the cache's file %s can't be written: %s", self.path, error)
                self.trouble = str(error) or type(error).__name__
            finally:
                self._idle.set()

    def _write_batch(self, batch: Batch) -> None:
        connection = self._connection
        connection.execute("BEGIN")
        try:
            if batch.whole:
                connection.execute("DELETE FROM entries")
            connection.executemany("DELETE FROM entries WHERE key = ?", ((key,) for key in batch.gone))
            connection.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?)",
                (
                    (entry.key, encode_row(entry, scope, batch.embedder, batch.unix_offset_s))
                    for entry, scope in batch.came
                ),
            )
            if batch.denied is not None:
                connection.execute("DELETE FROM denied")
                connection.executemany("INSERT OR REPLACE INTO denied VALUES (?)", ((pair,) for pair in batch.denied))
            if batch.epochs is not None:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('epochs', ?)", (json.dumps(batch.epochs),))
            if batch.learned is not None:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('learned', ?)", (batch.learned.text(),))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
