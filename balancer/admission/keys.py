"""Clients' keys: which tenant a key names. Pure.

The file has one JSON object a line, ``{"name":"alice","sha256":"<64 hex digits>","weight":1}``; blank lines and lines
that begin with ``#`` are passed over. YAML was rejected: a command that adds a line must not rewrite, and so may not
lose, what a person wrote. A key holds 256 random bits, so plain SHA-256 is enough; what slows down guessing a
password would only slow down requests. Digests tell nothing about keys, so the file is no secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from balancer.errors import ConfigError

RESERVED_NAMES: Final = frozenset({"local", "classic"})
"""Tenants of those who need no key: a key of that name would share their cache."""
WEIGHT_MAX: Final = 1000.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")
_FIELDS: Final = frozenset({"name", "sha256", "weight"})


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One entry. Raises `ConfigError` for a name or weight that cannot be."""

    name: str
    """The tenant."""
    digest: bytes
    """SHA-256 of the key."""
    weight: float = 1.0
    """The tenant's share where tenants compete, beside the others' shares."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError("a name is 1 to 64 letters, digits and . _ @ -, and begins with a letter or digit")
        if self.name.lower() in RESERVED_NAMES:
            raise ConfigError(f"the name {self.name!r} is taken by those who need no key")
        if not 0 < self.weight <= WEIGHT_MAX:
            raise ConfigError(f"a weight is a number above 0, up to {WEIGHT_MAX:g}")


class KeyTable:
    """All keys, for lookup. Never changed once it is made: a reload makes another and swaps it.

    Raises `ConfigError` if a name or a digest comes twice.
    """

    def __init__(self, keys: Iterable[ClientKey] = ()) -> None:
        self._by_digest: dict[bytes, ClientKey] = {}
        self._by_name: dict[str, ClientKey] = {}
        for key in keys:
            self._add(key)

    def _add(self, key: ClientKey) -> None:
        if key.name in self._by_name:
            raise ConfigError(f"the name {key.name!r} comes twice")
        if key.digest in self._by_digest:
            raise ConfigError(f"{key.name!r} has the same key as {self._by_digest[key.digest].name!r}")
        self._by_name[key.name] = key
        self._by_digest[key.digest] = key

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self._by_digest)

    def __iter__(self) -> Iterator[ClientKey]:
        return iter(self._by_digest.values())

    def weight_of(self, name: str) -> float:
        """The tenant's weight; 1 for one that has no key here."""
        key = self._by_name.get(name)
        return key.weight if key is not None else 1.0

    def find(self, given: bytes) -> ClientKey | None:
        """Whose key this is. How long it takes tells nothing about how close a wrong one is: only digests meet."""
        digest = hashlib.sha256(given).digest()
        key = self._by_digest.get(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None


def digest_of(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def parse_keys(text: str) -> KeyTable:
    """The whole file. Raises `ConfigError` that says which line is wrong and why."""
    table = KeyTable()
    for number, line in enumerate(text.split("\n"), 1):
        try:
            key = parse_line(line)
            if key is not None:
                table._add(key)
        except ConfigError as error:
            raise ConfigError(f"line {number}: {error}") from None
    return table


def parse_line(line: str) -> ClientKey | None:
    """One line; ``None`` for a blank one or a remark. Raises `ConfigError`."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ConfigError('expected {"name":"...","sha256":"...","weight":1}')
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        raise ConfigError(f"unknown field {unknown[0]!r}; known are name, sha256, weight")
    name, digest, weight = fields.get("name"), fields.get("sha256"), fields.get("weight", 1)
    if not isinstance(name, str):
        raise ConfigError("name: expected a text")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ConfigError("sha256: expected the key's SHA-256 as 64 hex digits")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ConfigError("weight: expected a number")
    # In this order: a huge integer is no float.
    return ClientKey(name, bytes.fromhex(digest), float(min(weight, 2 * WEIGHT_MAX)))


def line_of(key: ClientKey) -> str:
    """The line that `parse_line` reads, without its end."""
    weight = int(key.weight) if key.weight == int(key.weight) else key.weight
    fields = {"name": key.name, "sha256": key.digest.hex(), "weight": weight}
    return json.dumps(fields, separators=(",", ":"))
