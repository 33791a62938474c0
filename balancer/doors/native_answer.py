"""The sink of a native client: events become text lines, the outcome ``done``, a failure ``error``."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from balancer.errors import Failure
from balancer.exchange.exchange import Exchange
from balancer.exchange.outcome import Opening, Outcome
from balancer.wire import native
from balancer.wire.dialect import Chunk, Usage
from balancer.wire.native import Done, RequestId
from balancer.wire.openai import chunk_text, is_plain, parse_chunk
from balancer.wire.sse import event_data
from balancer.wire.uniform import Frame, LoneTexts, frame_of, lone_texts, run_of

_TRIES: Final = 4
"""To find out what an answer's chunks have in common; another backend that goes on with it may take one, too."""


class Lines(Protocol):
    """The connection that the lines go out on."""

    def write(self, data: bytes) -> None: ...

    def over(self, id: RequestId) -> None:
        """The answer with this id has ended."""


class NativeAnswer:
    """The sink of one exchange: events become text lines."""

    __slots__ = (
        "_connection", "_finish_reason", "_frame", "_head", "_id", "_lone", "_opening", "_tries", "_usage", "exchange",
        "silent",
    )  # fmt: skip

    def __init__(self, connection: Lines, id: RequestId) -> None:
        self._connection = connection
        self._id = id
        self._head = native.text_head(id)
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._frame: Frame | None = None
        self._lone: LoneTexts | None = None
        self._tries = _TRIES
        self._opening: Opening | None = None
        self.exchange: Exchange | None = None
        self.silent = True
        """Nothing of the answer was written yet."""

    def opened(self, opening: Opening) -> None:
        self._opening = opening

    def resumed(self, opening: Opening) -> None:
        self._opening = opening
        self._connection.write(native.resumed_line(self._id, {"backend": opening.backend, "resumed": opening.resumed}))

    def whole(self, body: bytes) -> None:
        """Never asked for."""

    def queued(self, position: int) -> None:
        self._connection.write(native.queued_line(self._id, position))

    def events(self, events: bytes) -> None:
        """One text line for all the text in these events. Raises `ValueError` for what is no chunk."""
        if self._lone is not None and (literal := self._lone.literal(events)):
            self._connection.write(self._head + literal + native.TEXT_END)
        elif lines := self._read(events):
            self.silent = False
            self._connection.write(lines)

    def _read(self, events: bytes) -> bytes:
        lines, text, at, frame = b"", "", 0, self._frame
        parts = list(event_data(events))
        while at < len(parts):
            data = parts[at]
            if data == b"[DONE]":
                at += 1
                continue
            if frame is not None and data.startswith(frame.before) and (texts := run_of(frame, parts, at)):
                text += "".join(texts)
                at += len(texts)
                continue
            at += 1
            chunk = parse_chunk(data)
            if chunk.told is not None:
                self._usage = chunk.usage or self._usage
            if not is_plain(chunk):
                lines += native.text_line(self._head, text) if text else b""
                lines += native.chunk_line(self._id, data)
                text = ""
                for choice in chunk.choices:
                    self._finish_reason = choice.finish_reason or self._finish_reason
                continue
            for choice in chunk.choices:
                self._finish_reason = choice.finish_reason or self._finish_reason
                if piece := chunk_text(choice):
                    if self._tries and (text or not self.silent):  # the first may well be the only one
                        frame = self._learn(data, chunk)
                    text += piece
        return lines + native.text_line(self._head, text) if text else lines

    def _learn(self, data: bytes, chunk: Chunk) -> Frame | None:
        """See whether further chunks may be like this one; of an answer whose chunks never are, not for ever."""
        self._tries -= 1
        self._frame = frame = frame_of(data, chunk)
        self._lone = lone_texts(data, chunk)
        return frame

    def done(self, outcome: Outcome) -> None:
        opening = self._opening
        similarity, probability, age_s = outcome.similarity, outcome.probability, outcome.age_s
        done = Done(
            self._finish_reason,
            outcome.model,
            outcome.backend,
            outcome.cache,
            outcome.attempts,
            outcome.resumed,
            _ms(outcome.queue_s),
            _ms(outcome.ttft_s),
            _ms(outcome.total_s),
            self._usage,
            None if similarity is None else round(similarity, 4),
            None if probability is None else round(probability, 4),
            None if age_s is None else round(age_s, 1),
            outcome.entry,
            msgspec.Raw(opening.explanation.encode()) if opening is not None and opening.explanation else None,
        )
        self._end(native.done_line(self._id, done))

    def failed(self, failure: Failure) -> None:
        self._end(failure_line(self._id, failure))

    def cancel_by_client(self) -> None:
        """A cancel is answered, too."""
        self.cancel()
        fields = {"finish_reason": "cancelled"}
        if self._opening is not None:
            fields |= {"backend": self._opening.backend, "cache": self._opening.cache}
        self._end(native.done_line(self._id, fields))

    def cancel(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()

    def pause(self) -> None:
        if self.exchange is not None:
            self.exchange.pause()

    def resume(self) -> None:
        if self.exchange is not None:
            self.exchange.resume()

    def _end(self, line: bytes) -> None:
        self.exchange = None  # it holds this in turn: without a cycle the garbage collector has nothing to do
        self._connection.write(line)
        self._connection.over(self._id)


def failure_line(id: RequestId, failure: Failure) -> bytes:
    """A failure in the words of the native protocol."""
    return native.error_line(
        id,
        type=failure.type,
        code=failure.code,
        message=failure.message,
        retry_after_s=failure.retry_after_s,
        explain=failure.explanation,
    )


def _ms(seconds: float) -> float:
    """To a tenth."""
    return int(seconds * 10_000 + 0.5) / 10
