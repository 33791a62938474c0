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

from balancer.wire.dialect import Chunk
from balancer.wire.openai import chunk_text, is_plain

_CONTENT: Final = b'"content":'
_PLAIN_TEXT: Final = b'"text":'
_STRING: Final = re.compile(rb'\s?("(?:[^"\\]|\\.)*")')
_IDS: Final = re.compile(rb"\d+(?:, ?\d+)*")
_TOKEN_IDS: Final = re.compile(rb'"token_ids": ?\[(\d+(?:, ?\d+)*)\]')
_texts = msgspec.json.Decoder(list[str])
_text = msgspec.json.Decoder(str).decode


class Frame(NamedTuple):
    """What stands before and behind the text of a chunk."""

    before: bytes
    after: bytes


def frame_of(data: bytes, chunk: Chunk) -> Frame | None:
    """The frame of a chunk that says nothing but a text, ``chunk`` being what was read of it; else ``None``."""
    return _frame(data, chunk) if not (chunk.choices and chunk.choices[0].token_ids) else None


def _frame(data: bytes, chunk: Chunk) -> Frame | None:
    """The same of one that may say the text's token ids as well."""
    if len(chunk.choices) != 1 or chunk.usage is not None or not is_plain(chunk):
        return None
    choice = chunk.choices[0]
    if choice.finish_reason or choice.prompt_token_ids or chunk.prompt_token_ids:
        return None
    key = _CONTENT if choice.delta is not None else _PLAIN_TEXT
    if data.count(_CONTENT) + data.count(_PLAIN_TEXT) != 1 or (begin := data.find(key)) < 0:
        return None
    found = _STRING.match(data, begin + len(key))
    text = chunk_text(choice)
    if found is None or not text or _text(found[1]) != text:
        return None
    before, after = data[: found.start(1)], data[found.end(1) :]
    return Frame(before, after) if b"\\" not in before + after else None  # a key might be written in another way


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


class LoneTexts:
    """Reads events that hold one chunk of such an answer and nothing else, as tokens come that come singly: what the
    engine wrote for the text is checked, and can go on as it is. The token ids may differ, too."""

    __slots__ = ("_begin", "_end", "_from", "_middle", "_to")

    def __init__(self, before: bytes, middle: bytes, after: bytes) -> None:
        """``middle``: from the text's closing quote to the first token id; empty where there are none."""
        self._begin = b"data: " + before + b'"'
        self._middle = middle
        self._end = (after if middle else b'"' + after) + b"\n\n"
        self._from = len(self._begin) - 1
        self._to = -len(self._end) if middle else 1 - len(self._end)

    def literal(self, events: bytes) -> bytes:
        """The text as JSON, quotes included; empty if there is no text, or these are other events."""
        if not (events.startswith(self._begin) and events.endswith(self._end)):
            return b""
        literal = events[self._from : self._to]
        if self._middle:
            literal, _, ids = literal.rpartition(self._middle)
            if not literal.endswith(b'"') or not (ids.isdigit() or _IDS.fullmatch(ids)):
                return b""
        try:
            return literal if _text(literal) else b""
        except ValueError:
            return b""


def lone_texts(data: bytes, chunk: Chunk) -> LoneTexts | None:
    """What reads further chunks like this one, ``chunk`` being what was read of it; ``None`` if it says more than a
    text and its token ids."""
    frame = _frame(data, chunk)
    if frame is None or not chunk.choices[0].token_ids:
        return LoneTexts(frame.before, b"", frame.after) if frame is not None else None
    before, after = frame
    found = _TOKEN_IDS.search(after)
    if found is None or data.count(b'"token_ids":') != 1:
        return None
    return LoneTexts(before, after[: found.start(1)], after[found.end(1) :])
