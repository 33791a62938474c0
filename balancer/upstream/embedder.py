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
from balancer.wire.embeddings import embeddings_body, texts_in

RETRY_AFTER_S = 1.0


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
        texts = texts_in(request.body, None)
        self._vectors: list[Vector | None] = [None] * len(texts)
        self._missing = len(texts)
        self._tickets: list[Encoding] = []
        self._over = False
        asyncio.get_running_loop().call_soon(self._submit, texts)  # not now: nothing may be told before `ask` returned

    def cancel(self) -> None:
        self._over = True
        for ticket in self._tickets:
            self._encoder.cancel(ticket)

    def pause(self) -> None:
        """The answer is one body of bounded size."""

    def resume(self) -> None: ...

    def _submit(self, texts: list[str]) -> None:
        for at, text in enumerate(texts):
            if self._over:
                return
            ticket = self._encoder.encode(text, partial(self._arrived, at))
            if ticket is None:
                self._fail(errors.backend_busy(self._name, RETRY_AFTER_S))
                return
            self._tickets.append(ticket)

    def _arrived(self, at: int, vector: Vector | None) -> None:
        if self._over:
            return
        if vector is None:
            self._fail(errors.backend_failed(self._name, "no vector for a text"))
            return
        self._vectors[at] = vector
        self._missing -= 1
        if not self._missing:
            self._answer()

    def _answer(self) -> None:
        rows = [vector.astype("<f4", copy=False).tobytes() for vector in self._vectors if vector is not None]
        tokens = sum(ticket.tokens for ticket in self._tickets)
        body = embeddings_body(rows, self._model, tokens, as_base64=self._as_base64)
        self._receiver.on_whole(body)
        if not self._over:  # the receiver has not cancelled
            self._over = True
            self._receiver.on_end()

    def _fail(self, failure: errors.Failure) -> None:
        self.cancel()
        self._receiver.on_failure(failure)
