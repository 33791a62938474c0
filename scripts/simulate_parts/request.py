"""One simulated request, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, cast

BLOCK_TOKENS = 16
"""Of the engines' prefix caches."""
ROUTED_BLOCK_TOKENS = 64
"""What the balancer hashes at a time: 256 bytes of text."""


class Run(NamedTuple):
    """So many blocks from the beginning of a piece of text, which has a number."""

    key: int
    blocks: int


Blocks: TypeAlias = Sequence[int] | tuple[Run, ...]
"""The blocks of a text, of 16 tokens each: one by one, each known by all the text up to its end, or in runs."""


def runs_of(blocks: Blocks) -> tuple[Run, ...]:
    """The same in runs."""
    if not blocks or isinstance(blocks[0], Run):
        return cast("tuple[Run, ...]", tuple(blocks))
    return tuple(Run(key, 1) for key in cast("Sequence[int]", blocks))


def routed_blocks(runs: tuple[Run, ...]) -> list[int]:
    """What the balancer tells apart of it: a number for every 64 tokens with all before them."""
    stride = ROUTED_BLOCK_TOKENS // BLOCK_TOKENS
    found: list[int] = []
    begin = 0
    for key, blocks in runs:
        first = (stride - 1 - begin) % stride
        found.extend(range((key << 24) + first, (key << 24) + blocks, stride))
        begin += blocks
    return found


class Ask(NamedTuple):
    """What a client asks."""

    tenant: str
    session: str
    prompt_tokens: int
    output_tokens: int
    blocks: Blocks = ()
    """Of the prompt."""
    then: Blocks = ()
    """Of prompt and answer, as the engine's cache holds them afterwards."""


@dataclass(slots=True, eq=False)
class Asked:
    """An `Ask` on its way. Times in seconds; -1 for what has not happened."""

    ask: Ask
    at: float
    first_at: float = -1.0
    ended_at: float = -1.0
    backend: int = -1
    cached_tokens: int = 0
    attempts: int = 0
    balancer: int = 0
    """Which one it came to."""
    excluded: frozenset[str] = field(default_factory=frozenset)

    @property
    def ttft_s(self) -> float:
        return self.first_at - self.at

    @property
    def itl_s(self) -> float:
        return (self.ended_at - self.first_at) / max(1, self.ask.output_tokens - 1)
