"""What was relayed of one answer, kept raw and read only when somebody needs the text.

A raw journal weighs over 200 bytes a token, so every 16 KiB it is compacted to text; an answer beyond the bound is
relayed all the same but can be neither cached nor resumed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from balancer.wire.openai import Chunk, chunk_text, is_plain, parse_chunk
from balancer.wire.sse import event_data
from balancer.wire.whole import parse_whole

COMPACT_BYTES: Final = 16 << 10
TEXT_MAX_BYTES: Final = 256 << 10


class Answer(NamedTuple):
    """What the events said. ``finish_reason`` is ``None`` where the answer did not end."""

    text: str
    finish_reason: str | None
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    plain: bool
    """One choice of text and nothing else: only such an answer can be told again from its text."""


class Journal:
    """The events of one answer."""

    __slots__ = (
        "_finish_reason",
        "_model",
        "_overflowed",
        "_plain",
        "_raw",
        "_raw_bytes",
        "_text",
        "_text_bytes",
        "_usage",
    )

    def __init__(self) -> None:
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._text: list[str] = []
        self._text_bytes = 0
        self._finish_reason: str | None = None
        self._model = ""
        self._usage: tuple[int, int] | None = None
        self._plain = True
        self._overflowed = False

    def add(self, events: bytes) -> None:
        """Keep complete events."""
        if self._overflowed:
            return
        self._raw.append(events)
        self._raw_bytes += len(events)
        if self._raw_bytes >= COMPACT_BYTES:
            self._compact()

    def add_whole(self, body: bytes) -> None:
        """Keep an answer that came in one piece. Raises `ValueError` for what is none."""
        whole = parse_whole(body)
        self._model = whole.model
        self._plain = whole.plain
        self._finish_reason = whole.finish_reason
        self._text = [whole.text]
        self._text_bytes = len(body)
        if whole.usage is not None:
            self._usage = (whole.usage.prompt_tokens, whole.usage.completion_tokens)

    @property
    def size_bytes(self) -> int:
        return self._raw_bytes + self._text_bytes

    def answer(self) -> Answer | None:
        """All of it so far; ``None`` if it outgrew the bound or held what cannot be read."""
        self._compact()
        if self._overflowed:
            return None
        prompt_tokens, completion_tokens = self._usage or (None, None)
        return Answer(
            "".join(self._text), self._finish_reason, self._model, prompt_tokens, completion_tokens, self._plain
        )

    def _compact(self) -> None:
        raw, self._raw, self._raw_bytes = b"".join(self._raw), [], 0
        pieces: list[str] = []
        for data in event_data(raw):
            if data == b"[DONE]":
                continue
            try:
                self._read(parse_chunk(data), pieces)
            except ValueError:
                self._plain = False
        text = "".join(pieces)
        self._text.append(text)
        self._text_bytes += len(text.encode("utf-8", "surrogatepass"))
        if self._text_bytes > TEXT_MAX_BYTES:
            self._overflowed = True
            self._text.clear()
            self._text_bytes = 0

    def _read(self, chunk: Chunk, pieces: list[str]) -> None:
        self._model = self._model or chunk.model
        self._plain = self._plain and is_plain(chunk)
        if chunk.usage is not None:
            self._usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices:
            pieces.append(chunk_text(choice))
            self._finish_reason = choice.finish_reason or self._finish_reason
