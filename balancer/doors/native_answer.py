"""The sink of a native client: events become text lines, the outcome ``done``, a failure ``error``."""

from __future__ import annotations

from typing import Any, Protocol

from balancer.errors import Failure
from balancer.exchange.exchange import Exchange
from balancer.exchange.ports import Opening, Outcome
from balancer.wire import native
from balancer.wire.native import RequestId
from balancer.wire.openai import chunk_text, is_plain, parse_chunk
from balancer.wire.sse import event_data


class Lines(Protocol):
    """The connection that the lines go out on."""

    def write(self, data: bytes) -> None: ...

    def over(self, id: RequestId) -> None:
        """The answer with this id has ended."""


class NativeAnswer:
    """The sink of one exchange: events become text lines."""

    __slots__ = ("_connection", "_finish_reason", "_head", "_id", "_opening", "_usage", "exchange", "silent")

    def __init__(self, connection: Lines, id: RequestId) -> None:
        self._connection = connection
        self._id = id
        self._head = native.text_head(id)
        self._finish_reason: str | None = None
        self._usage: dict[str, int] | None = None
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
        text = ""
        lines = b""
        for data in event_data(events):
            if data == b"[DONE]":
                continue
            chunk = parse_chunk(data)
            if chunk.usage is not None:
                self._usage = {
                    "prompt_tokens": chunk.usage.prompt_tokens,
                    "completion_tokens": chunk.usage.completion_tokens,
                    "total_tokens": chunk.usage.total_tokens,
                }
            plain = is_plain(chunk)
            if not plain:
                lines += native.text_line(self._head, text) if text else b""
                lines += native.chunk_line(self._id, data)
                text = ""
            for choice in chunk.choices:
                self._finish_reason = choice.finish_reason or self._finish_reason
                if plain:
                    text += chunk_text(choice)
        if text:
            lines += native.text_line(self._head, text)
        if lines:
            self.silent = False
            self._connection.write(lines)

    def done(self, outcome: Outcome) -> None:
        fields: dict[str, Any] = {
            "finish_reason": self._finish_reason,
            "model": outcome.model,
            "backend": outcome.backend,
            "cache": outcome.cache,
        }
        if outcome.similarity is not None:
            fields["similarity"] = round(outcome.similarity, 4)
        if outcome.probability is not None:
            fields["probability"] = round(outcome.probability, 4)
        if outcome.age_s is not None:
            fields["age_s"] = round(outcome.age_s, 1)
        if self._usage is not None:
            fields["usage"] = self._usage
        fields |= {
            "attempts": outcome.attempts,
            "resumed": outcome.resumed,
            "queue_ms": round(outcome.queue_s * 1000, 1),
            "ttft_ms": round(outcome.ttft_s * 1000, 1),
            "total_ms": round(outcome.total_s * 1000, 1),
        }
        self._end(native.done_line(self._id, fields))

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
        id, type=failure.type, code=failure.code, message=failure.message, retry_after_s=failure.retry_after_s
    )
