"""The file of clients' keys on disk: read at a start, changed by ``key add`` and ``key remove``.

A change writes a whole new file beside the old one and puts it in its place, so a reader or a crash meets the old
keys or the new ones, never half. A lock on the folder keeps two commands from undoing each other's change.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from balancer.admission.keys import ClientKey, KeyTable, digest_of, line_of, parse_keys, parse_line
from balancer.errors import ConfigError

PREFIX: Final = "lb-"
KEY_BYTES: Final = 32


def read_keys(path: Path) -> KeyTable:
    """All keys. Raises `ConfigError` that names the file, and the line where one is wrong."""
    with _telling(path):
        return _parsed(path, path.read_text(encoding="utf-8"))


def add_key(path: Path, name: str, weight: float = 1.0) -> str:
    """Make a key for a new tenant; the key, which nothing can show again. The file is made if there is none.

    Raises `ConfigError`, also for a name that has a key.
    """
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    entry = ClientKey(name, digest_of(key.encode()), weight)
    with _changing(path) as whole:
        text = whole.read_text(encoding="utf-8") if whole.exists() else ""
        if name in _parsed(path, text):
            raise ConfigError(f"keys: {name!r} has a key in {path}; remove it first to make another")
        _replace(whole, text + ("\n" if text and not text.endswith("\n") else "") + line_of(entry) + "\n")
    return key


def remove_key(path: Path, name: str) -> None:
    """Forget a tenant's key. Raises `ConfigError`, also if there is none."""
    with _changing(path) as whole:
        text = whole.read_text(encoding="utf-8")
        if name not in _parsed(path, text):
            raise ConfigError(f"keys: there is no {name!r} in {path}")
        kept = [line for line in text.split("\n") if (key := parse_line(line)) is None or key.name != name]
        _replace(whole, "\n".join(kept))


def _parsed(path: Path, text: str) -> KeyTable:
    try:
        return parse_keys(text)
    except ConfigError as error:
        raise ConfigError(f"keys: {path}, {error}") from None


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise ConfigError(f"keys: {path} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"keys: {error.strerror}: {path}") from None


@contextmanager
def _changing(path: Path) -> Iterator[Path]:
    """Alone with the file that ``path`` leads to: a link stays a link."""
    with _telling(path):
        whole = path.resolve()
        folder = os.open(whole.parent, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"keys: another command is changing {path}; try again") from None
            yield whole
        finally:
            os.close(folder)


def _replace(path: Path, text: str) -> None:
    """Put a file with this text, for its owner's eyes only, in place of the old one. The owner stays who it was."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if path.exists():
                owner = path.stat()
                os.fchown(handle, owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(handle)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
