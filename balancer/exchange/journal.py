"""What was relayed of one answer, kept raw and read only when somebody needs the text.

A raw journal weighs over 200 bytes a token, so every 16 KiB it is compacted to text and token ids; an answer beyond
the bound is relayed all the same but can be neither cached nor resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balancer.wire.continuation import Begun
from balancer.wire.dialect import Chunk, ToldUsage
from balancer.wire.openai import chunk_text, is_plain, parse_chunk
from balancer.wire.sse import event_data
from balancer.wire.uniform import frame_of, run_of
from balancer.wire.whole import is_plain_whole, parse_whole, whole_text

COMPACT_BYTES: Final = 16 << 10
TEXT_MAX_BYTES: Final = 256 << 10
TOKEN_MAX_BYTES: Final = 8
"""Of a text's tokens on the average: pieces that are longer are several tokens each."""
_USAGE_WITHIN: Final = 3
"""Usage comes in one of the last pieces."""


@dataclass(init=False, slots=True)
class Answer:
    """What the events said. ``finish_reason`` is ``None`` where the answer did not end.

    Its own ``__init__``: see `balancer.request`.
    """

    text: str
    finish_reason: str | None
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    plain: bool
    """One choice of text and nothing else: only such an answer can be told again from its text."""

    def __init__(
        self,
        text: str,
        finish_reason: str | None,
        model: str,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        plain: bool,
    ) -> None:
        self.text = text
        self.finish_reason = finish_reason
        self.model = model
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.plain = plain


class Journal:
    """The events of one answer."""

    __slots__ = (
        "_counted", "_finish_reason", "_first", "_model", "_overflowed", "_plain", "_prompt_ids", "_prompt_tokens",
        "_raw", "_raw_bytes", "_text", "_text_bytes", "_token_ids", "_tokens", "_told", "_usage", "usage_told",
    )  # fmt: skip

    def __init__(self) -> None:
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._text: list[str] = []
        self._text_bytes = 0
        self._first: Chunk | None = None
        self._tokens = 0
        self._told = 0
        """How many tokens had come when text last came."""
        self._counted = False
        """The engine told how many tokens these are."""
        self._token_ids: list[int] | None = []
        self._prompt_ids: list[int] | None = None
        self._prompt_tokens = 0
        """0: not told."""
        self._finish_reason: str | None = None
        self._model = ""
        self._usage: tuple[int, int] | None = None
        self._plain = True
        self._overflowed = False
        self.usage_told = False
        """Of all of it, as far as it was read."""

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
        self._text_bytes = len(body)
        self._text = [whole_text(whole)]
        self._finish_reason = whole.choices[0].finish_reason
        self._plain = is_plain_whole(whole)
        self._count(whole.told)
        self._bound()

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

    def begun(self) -> Begun | None:
        """What another backend needs to go on with it; ``None`` where that is more than one text, or too much.

        What follows here is then the other one's.
        """
        self._compact()
        first = self._first
        if self._overflowed or not self._plain or first is None:
            return None
        text = "".join(self._text)
        told = (first.id, first.model, int(first.created), text)
        # Tokens behind the text's end, the first bytes of a character say, told nobody anything: they are made anew.
        self._tokens = self._told
        if self._token_ids is None:
            if not self._counted:
                self._tokens = self._told = max(self._told, self._text_bytes // TOKEN_MAX_BYTES)
            return Begun(*told, self._tokens)
        del self._token_ids[self._tokens :]
        return Begun(*told, self._tokens, [*self._token_ids], self._prompt_ids)

    def so_far(self) -> Begun | None:
        """What one who joins late has to be told first; ``None`` where that is more than one text, or too much."""
        self._compact()
        first = self._first
        if self._overflowed or not self._plain or first is None or self._finish_reason is not None:
            return None
        return Begun(first.id, first.model, int(first.created), "".join(self._text), self._told)

    def counted(self) -> tuple[int, int] | None:
        """Tokens of prompt and completion so far; ``None`` where that would be a guess. To be asked before `begun`."""
        self._compact()
        prompt = len(self._prompt_ids) if self._prompt_ids else self._prompt_tokens
        known = self._counted or (self._token_ids is not None and self._tokens > 0)
        return (prompt, self._tokens) if prompt and known else None

    @property
    def finish_reason(self) -> str | None:
        """As far as it was read (`answer` and `begun` read all of it)."""
        return self._finish_reason

    def usage(self) -> tuple[int, int] | None:
        """Tokens of prompt and completion, if the engine told them, without reading all of the answer."""
        if self._usage is None:
            for events in self._raw[-_USAGE_WITHIN:]:
                if b'"usage"' in events:
                    self._find_usage(events)
        return self._usage

    def _find_usage(self, events: bytes) -> None:
        for data in event_data(events):
            if b'"usage"' in data:
                try:
                    self._count(parse_chunk(data).told)
                except ValueError:
                    continue

    def _count(self, told: ToldUsage | None) -> None:
        if told is None:
            return
        prompt, completion = told.prompt_tokens, told.completion_tokens
        if prompt is not None and completion is not None:
            self._usage = (prompt, completion)
            self._prompt_tokens = self._prompt_tokens or prompt

    def _compact(self) -> None:
        if not self._raw:
            return
        raw, self._raw, self._raw_bytes = b"".join(self._raw), [], 0
        pieces: list[str] = []
        parts = list(event_data(raw))
        at, uniform = 0, True
        while at < len(parts):
            data = parts[at]
            at += 1
            if data == b"[DONE]":
                continue
            try:
                chunk = parse_chunk(data)
            except ValueError:
                self._plain = False
                continue
            self._read(chunk, pieces)
            if uniform and at < len(parts) and (frame := frame_of(data, chunk)) is not None:
                texts = run_of(frame, parts, at)
                uniform = bool(texts)  # whose chunks differ in more than their text will go on so
                self._read_texts(texts, pieces)
                at += len(texts)
        text = "".join(pieces)
        self._text.append(text)
        self._text_bytes += len(text.encode("utf-8", "surrogatepass"))
        self._bound()

    def _bound(self) -> None:
        if self._text_bytes > TEXT_MAX_BYTES:
            self._overflowed = True
            self._text.clear()
            self._text_bytes = 0

    def _read_texts(self, texts: list[str], pieces: list[str]) -> None:
        """What `_read` does, for chunks that are like the last one but for these texts."""
        if count := sum(map(bool, texts)):
            self._tokens += count
            self._told = self._tokens
            self._counted = False
        pieces += texts

    def _read(self, chunk: Chunk, pieces: list[str]) -> None:
        if self._first is None:
            self._first = chunk
        self._model = self._model or chunk.model
        self._plain = self._plain and is_plain(chunk)
        self._prompt_ids = self._prompt_ids or chunk.prompt_token_ids
        said = False
        for choice in chunk.choices:
            text, ids = chunk_text(choice), choice.token_ids
            self._finish_reason = choice.finish_reason or self._finish_reason
            self._prompt_ids = self._prompt_ids or choice.prompt_token_ids
            if ids:
                self._tokens += len(ids)
                if self._token_ids is not None:
                    self._token_ids += ids
            elif text:
                self._tokens += 1
                self._token_ids = None
                self._counted = False
            said = said or bool(text)
            pieces.append(text)
        if chunk.told is not None:
            self._hear(chunk.told)
        if said:
            self._told = self._tokens

    def _hear(self, told: ToldUsage) -> None:
        """Usage: of all of it at the end, of what there is so far where it was asked for in every chunk."""
        self._count(told)
        self.usage_told = self._finish_reason is not None and told.counted() is not None
        completion = told.completion_tokens or 0
        if self._token_ids is None and completion >= self._tokens:
            self._tokens, self._counted = completion, True
