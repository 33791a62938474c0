"""What an answer consists of, in the order it arrives: any number of events, then a `Done` or an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits for a slot; position 1 is next."""

    position: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Another backend continues the answer."""

    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """An OpenAI chunk that is more than text: tools, logprobs, n > 1."""

    json: bytes


Event = Text | Queued | Resumed | Chunk


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer. ``fields`` holds everything the balancer said, the named ones included."""

    finish_reason: str = ""
    """``stop``, ``length``, ``cancelled``, or what else the backend gave."""
    model: str | None = None
    backend: str | None = None
    cache: str | None = None
    """``miss``, ``exact``, ``semantic``, ``joined``, ``shadow``, ``bypass`` or ``off``."""
    similarity: float | None = None
    """Cosine similarity to the cached question, for ``semantic``."""
    entry: str | None = None
    """The cache entry that answered."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def from_cache(self) -> bool:
        return self.cache in ("exact", "semantic", "joined")

    def tokens(self, name: str) -> int | None:
        """One count of ``usage``, such as ``completion_tokens``; ``None`` where the backend gave none."""
        value = self.usage.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def done_from_fields(fields: Mapping[str, Any]) -> Done:
    """Read a ``done`` object; a field of the wrong type counts as absent."""
    similarity = fields.get("similarity")
    usage = fields.get("usage")
    return Done(
        finish_reason=_text(fields.get("finish_reason")) or "",
        model=_text(fields.get("model")),
        backend=_text(fields.get("backend")),
        cache=_text(fields.get("cache")),
        similarity=float(similarity) if isinstance(similarity, int | float) else None,
        entry=_text(fields.get("entry")),
        usage=usage if isinstance(usage, dict) else {},
        fields=fields,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an answer took, as this side saw it."""

    ttft_s: float | None
    """From asking to the first text; ``None`` where there was none."""
    total_s: float
    tokens: int
    """Completion tokens by ``usage``, else the number of text pieces."""

    @property
    def tokens_per_s(self) -> float | None:
        """Speed after the first token; ``None`` where there is too little to tell."""
        if self.ttft_s is None or self.tokens < 2 or self.total_s <= self.ttft_s:
            return None
        return (self.tokens - 1) / (self.total_s - self.ttft_s)
