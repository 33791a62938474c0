"""Texts of a known number of tokens, four characters each, and what an engine's cache knows them by."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import lru_cache

from scripts.simulate_parts.request import BLOCK_TOKENS, Run

CHARS_A_TOKEN = 4
BLOCK_CHARS = BLOCK_TOKENS * CHARS_A_TOKEN


def text(name: str, tokens: int) -> str:
    """The same for the same name; of another name another one from its first token on."""
    return random.Random(name).randbytes(2 * tokens).hex()


@lru_cache(maxsize=1024)
def common_text(name: str, tokens: int) -> str:
    """A text with which many begin."""
    return text(name, tokens)


def token_count(of: str) -> int:
    return len(of) // CHARS_A_TOKEN


def runs(messages: Iterable[str]) -> tuple[Run, ...]:
    """The blocks of a conversation, in runs: each message with all before it has a number, within this process.

    Two conversations share what they have in common by whole messages; in these workloads nothing else is shared.
    """
    found: list[Run] = []
    chained, chars, before = 0, 0, 0
    for message in messages:
        chained, chars = hash((chained, message)), chars + len(message)
        whole = chars // BLOCK_CHARS
        found.append(Run(chained, whole - before))
        before = whole
    return tuple(found)
