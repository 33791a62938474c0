"""An entry as a row of the cache's file, and back. Times are Unix seconds there: others end with the process."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import msgspec

from balancer.cache.entry import Entry, entry_bytes
from balancer.cache.keys import KEY_BYTES


class _Row(msgspec.Struct, frozen=True, array_like=True):
    tenant: str
    model: str
    question: str
    text: str
    finish_reason: str
    answered_by: str
    backend: str
    prompt_tokens: int | None
    completion_tokens: int | None
    max_tokens: int | None
    made_s: float
    created: float
    expires_at: float | None
    scope: str | None
    embedder: str | None


class KeptEntry(NamedTuple):
    """An entry of an earlier run."""

    entry: Entry
    scope: bytes | None
    """It may answer near questions of this scope once its question is embedded anew."""
    embedder: str | None
    """Whose vectors the scope holds."""


def encode_row(entry: Entry, scope: bytes | None, embedder: str | None, unix_offset_s: float) -> str:
    """``unix_offset_s``: Unix time less monotonic time."""
    row = _Row(
        entry.tenant,
        entry.model,
        entry.question,
        entry.text,
        entry.finish_reason,
        entry.answered_by,
        entry.backend,
        entry.prompt_tokens,
        entry.completion_tokens,
        entry.max_tokens,
        entry.made_s,
        entry.created + unix_offset_s,
        None if entry.expires_at == math.inf else entry.expires_at + unix_offset_s,
        scope.hex() if scope is not None else None,
        embedder if scope is not None else None,
    )
    # Not msgspec's encoder: a text may hold half a surrogate pair, which json escapes.
    return json.dumps(msgspec.to_builtins(row), separators=(",", ":"))


def decode_row(key: bytes, text: str, now: float, unix_offset_s: float) -> KeptEntry | None:
    """The entry at monotonic ``now``; ``None`` for what is no row of ours.

    Where the clock was set back meanwhile, an entry is new, and holds no longer than it did when it was.
    """
    try:
        row = msgspec.convert(json.loads(text), _Row)
        scope = bytes.fromhex(row.scope) if row.scope is not None else None
    except (ValueError, TypeError, RecursionError):
        return None
    if len(key) != KEY_BYTES or not math.isfinite(row.created):
        return None
    created = min(row.created - unix_offset_s, now)
    lives_s = math.inf if row.expires_at is None else row.expires_at - row.created
    entry = Entry(
        key,
        row.tenant,
        row.model,
        row.question,
        row.text,
        row.finish_reason,
        row.answered_by,
        row.backend,
        row.prompt_tokens,
        row.completion_tokens,
        row.max_tokens,
        row.made_s,
        created,
        created + lives_s,
        entry_bytes(row.text, row.question),
    )
    return KeptEntry(entry, scope, row.embedder)
