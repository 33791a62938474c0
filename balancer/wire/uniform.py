"""Chunks of one answer that differ in nothing but their text, read together: most tokens of most engines are such.

Reading a chunk by itself takes a microsecond a token, twice as long as relaying it costs. Here the first of a run is
read, and the others are compared with what stands before and behind its text; then one decoder reads all the texts.
Pure. What this gives is what reading one by one would give: where that is not certain, there is no run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from balancer.wire.openai import Chunk, chunk_text, is_plain

_TEXT: Final = re.compile(rb'"(?:content|text)":\s?("(?:[^"\\]|\\.)*")')
_texts = msgspec.json.Decoder(list[str])


class Frame(NamedTuple):
    """What stands before and behind the text of a chunk."""

    before: bytes
    after: bytes


def frame_of(data: bytes, chunk: Chunk) -> Frame | None:
    """The frame of a chunk that says nothing but a text, ``chunk`` being what was read of it; else ``None``."""
    if len(chunk.choices) != 1 or chunk.usage is not None or not is_plain(chunk):
        return None
    choice = chunk.choices[0]
    if choice.finish_reason or choice.token_ids or choice.prompt_token_ids or chunk.prompt_token_ids:
        return None
    found = _TEXT.findall(data)
    text = chunk_text(choice)
    if len(found) != 1 or not text or msgspec.json.decode(found[0]) != text:
        return None
    before, _, after = data.partition(found[0])
    return Frame(before, after) if found[0] not in after else None


def run_of(frame: Frame, parts: Sequence[bytes], start: int) -> list[str]:
    """The texts of the chunks from ``start`` on that have this frame: of as many as there are in a row."""
    before, after = frame
    head, tail = len(before), len(after)
    shortest = head + tail + 2
    texts = []
    for at in range(start, len(parts)):
        data = parts[at]
        if len(data) < shortest or not (data.startswith(before) and data.endswith(after)):
            break
        texts.append(data[head : len(data) - tail])
    if not texts:
        return []
    try:
        read = _texts.decode(b"[" + b",".join(texts) + b"]")
    except ValueError:
        return []
    # Each part is one string or more, so as many strings as parts are one each.
    return read if len(read) == len(texts) else []
