"""A prompt as a chain of hashes: each stands for a block of text together with all before it.

Two prompts share their first n hashes just when they begin with the same n blocks, whatever follows. So does what an
engine's prefix cache holds. Hashes are Python's own, keyed anew in each process: nobody can aim at a collision, and
they mean nothing elsewhere. Pictures and other parts that are no text are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

BLOCK_CHARS = 256
"""About 64 tokens, four blocks of most engines."""
BLOCKS_MAX = 2048
"""What is beyond (half a million characters) tells no more about who should get it."""


def prompt_blocks(body: Mapping[str, Any]) -> list[int]:
    """Of a request in the OpenAI dialect; the last block of it only if it is whole."""
    return block_hashes("\n".join(_texts(body)))


def block_hashes(text: str) -> list[int]:
    """Of any text."""
    found: list[int] = []
    chained = 0
    for begin in range(0, min(len(text) // BLOCK_CHARS, BLOCKS_MAX) * BLOCK_CHARS, BLOCK_CHARS):
        chained = hash((chained, text[begin : begin + BLOCK_CHARS]))
        found.append(chained)
    return found


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        yield from _texts_of(body.get("prompt") or body.get("input"))
        return
    for message in messages:
        if isinstance(message, dict):
            yield str(message.get("role"))
            yield from _texts_of(message.get("content"))


def _texts_of(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text
