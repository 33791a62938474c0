"""One request and its answer: the sink that an engine fills, written out to the client as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from backend.engines.base import Generation, Piece
from backend.errors import BackendError, ShuttingDown
from backend.server.answers import AnswerHead, EventWriter, error_event
from backend.server.params import CHAT, Asked
from balancer.wire.http1 import LAST_CHUNK, chunk, response, response_head
from balancer.wire.openai import error_body

_STREAM_HEADERS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


class Client(Protocol):
    """Where an answer goes."""

    def write(self, data: bytes) -> None: ...

    def answered(self, *, keep_alive: bool) -> None:
        """The answer is written; the connection may take the next request if ``keep_alive``."""


class Exchange:
    """Implements `Sink`. Holds a slot from its making until the engine says that the generation ended."""

    def __init__(self, asked: Asked, model: str, client: Client, release: Callable[[Exchange], None]) -> None:
        self._asked = asked
        self._client: Client | None = client
        self._release = release
        self._generation: Generation | None = None
        prefix = "chatcmpl-" if asked.endpoint == CHAT else "cmpl-"
        self._head = AnswerHead(asked.endpoint, prefix + os.urandom(12).hex(), model, int(time.time()))
        self._prompt_ids: Sequence[int] | None = None
        self._events: EventWriter | None = None  # set once the head of a streamed answer is written
        self._texts: list[str] = []
        self._token_ids: list[int] = []

    def submitted(self, generation: Generation) -> None:
        self._generation = generation
        if self._client is None:
            generation.cancel()

    def abandon(self) -> None:
        """The client left: nothing more is written, the engine stops at its next step."""
        self._client = None
        if self._generation is not None:
            self._generation.cancel()

    def started(self, prompt_token_ids: Sequence[int]) -> None:
        if self._asked.return_prompt_token_ids:
            self._prompt_ids = prompt_token_ids

    def piece(self, piece: Piece) -> None:
        if piece.finish_reason == "cancelled" and self._client is not None:
            self.failed(ShuttingDown("the server stopped before the answer was complete"))
        elif self._asked.stream:
            self._stream(piece)
        else:
            self._gather(piece)

    def failed(self, error: BackendError) -> None:
        client, self._client = self._client, None
        self._release(self)
        if client is None:
            return
        if self._events is None:
            client.write(error_response(error))
            client.answered(keep_alive=True)
        else:
            # No last chunk: whoever reads this must not take it for a whole answer.
            client.write(chunk(error_event(error.message, error.type, error.code)))
            client.answered(keep_alive=False)

    def _stream(self, piece: Piece) -> None:
        head = b""
        if self._events is None:
            self._events = self._head.events(self._prompt_ids, token_ids=self._asked.return_token_ids)
            head = response_head(200, _STREAM_HEADERS, length=None)
            first = self._events.first()
        else:
            first = b""
        if piece.finish_reason is None:
            self._write(head + chunk(first + self._events.text(piece)))
            return
        last = self._events.last(piece, include_usage=self._asked.include_usage)
        self._finish(head + chunk(first + last) + LAST_CHUNK)

    def _gather(self, piece: Piece) -> None:
        self._texts.append(piece.text)
        self._token_ids.extend(piece.token_ids)
        if piece.finish_reason is not None:
            ids = self._token_ids if self._asked.return_token_ids else None
            self._finish(response(200, self._head.body("".join(self._texts), ids, piece, self._prompt_ids)))

    def _finish(self, data: bytes) -> None:
        self._release(self)
        self._write(data)
        if self._client is not None:
            self._client.answered(keep_alive=True)

    def _write(self, data: bytes) -> None:
        if self._client is not None:
            self._client.write(data)


def error_response(error: BackendError, *, keep_alive: bool = True) -> bytes:
    """A whole answer that is an error object."""
    retry_after_s = getattr(error, "retry_after_s", None)
    headers = [] if retry_after_s is None else [("retry-after", str(retry_after_s))]
    body = error_body(error.message, error.type, error.code, error.param)
    return response(error.status, body, headers, keep_alive=keep_alive)
