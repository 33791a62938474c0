"""Our own embedder as a backend: answers requests for embeddings as an engine would, in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from balancer import errors
from balancer.exchange.ports import Receiver, Vector
from balancer.pool.backend import BackendSpec
from balancer.request import Request
from balancer.wire.embeddings import embedding_text, embeddings_body, texts_in

RETRY_AFTER_S = 1.0
TEXTS_AHEAD = 64
"""Of one request with the encoder at a time: those beside it have their turns, however many texts it brings."""


class Encoding(Protocol):
    """A text on its way through the embedder."""

    tokens: int
    """How many the model read of it, once its vector is known."""


E = TypeVar("E", bound=Encoding)


class Encoder(Protocol[E]):
    """Turns texts into unit vectors, in another process."""

    def encode(self, text: str, callback: Callable[[Vector | None], None]) -> E | None:
        """``callback`` hears once, later: the vector, or ``None`` if there is none. ``None`` at once: no room."""

    def cancel(self, ticket: E) -> None:
        """The vector is no longer wanted."""


class EmbedderUpstream:
    """The one backend of its own small pool."""

    def __init__(self, encoder: Encoder[Any]) -> None:
        self._encoder = encoder

    def ask(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> EmbedderCall:
        """See `balancer.exchange.ports.Upstream`."""
        return EmbedderCall(self._encoder, spec.name, request, model, receiver)


class EmbedderCall:
    """One request's texts at the embedder; a `balancer.exchange.ports.Call`."""

    def __init__(self, encoder: Encoder[Any], name: str, request: Request, model: str, receiver: Receiver) -> None:
        self._encoder = encoder
        self._name = name
        self._model = model
        self._receiver = receiver
        self._as_base64 = request.body.get("encoding_format") == "base64"
        self._texts = texts = texts_in(request.body, None)
        self._embeddings = [b""] * len(texts)
        """As they will stand in the answer."""
        self._missing = len(texts)
        self._submitted = self._tokens = 0
        self._tickets: dict[int, Encoding] = {}
        """Of the texts that are with the encoder."""
        self._over = False
        asyncio.get_running_loop().call_soon(self._submit)  # not now: nothing may be told before `ask` returned

    def cancel(self) -> None:
        self._over = True
        for ticket in self._tickets.values():
            self._encoder.cancel(ticket)

    def pause(self) -> None:
        """The answer is one body of bounded size."""

    def resume(self) -> None: ...

    def _submit(self) -> None:
        while not self._over and self._submitted < len(self._texts) and len(self._tickets) < TEXTS_AHEAD:
            at = self._submitted
            ticket = self._encoder.encode(self._texts[at], partial(self._arrived, at))
            if ticket is None:
                self._fail(errors.backend_busy(self._name, RETRY_AFTER_S))
                return
            self._tickets[at] = ticket
            self._submitted += 1

    def _arrived(self, at: int, vector: Vector | None) -> None:
        if self._over:
            return
        if vector is None:
            self._fail(errors.backend_failed(self._name, "no vector for a text"))
            return
        row = vector.astype("<f4", copy=False).tobytes()
        self._embeddings[at] = embedding_text(row, as_base64=self._as_base64)
        self._tokens += self._tickets.pop(at).tokens
        self._missing -= 1
        if self._missing:
            self._submit()
        else:
            self._answer()

    def _answer(self) -> None:
        self._receiver.on_whole(embeddings_body(self._embeddings, self._model, self._tokens))
        if not self._over:  # the receiver has not cancelled
            self._over = True
            self._receiver.on_end()

    def _fail(self, failure: errors.Failure) -> None:
        self.cancel()
        self._receiver.on_failure(failure)
