"""What an exchange needs from the world, as protocols: tests put fakes here, the daemon the real things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from balancer.errors import Failure
from balancer.exchange.outcome import Opening, Outcome
from balancer.pool.backend import BackendSpec
from balancer.request import Request

Vector = npt.NDArray[np.float32]
"""An embedding: one row, normalised."""
TokenVectors = npt.NDArray[np.int8]
"""What the embedder made of each token of a text: one row a token."""


class Sink(Protocol):
    """A door's side of an exchange. After ``done`` or ``failed`` nothing more is called."""

    def opened(self, opening: Opening) -> None:
        """The answer begins: comes before the first ``events``, or ``whole``."""

    def resumed(self, opening: Opening) -> None:
        """Another backend goes on with the answer; what follows continues what was told."""

    def queued(self, position: int) -> None:
        """The request waits; ``position`` 1 is next."""

    def events(self, events: bytes) -> None:
        """Complete server-sent events of the answer, the closing ``[DONE]`` included.

        Raises `ValueError` for what the door would have to read and cannot: the backend's failure.
        """

    def whole(self, body: bytes) -> None:
        """The answer in one piece, as the backend made it: instead of events, where no stream was asked for."""

    def done(self, outcome: Outcome) -> None: ...

    def failed(self, failure: Failure) -> None: ...


class Call(Protocol):
    """A request under way at a backend."""

    def cancel(self) -> None:
        """Stop it at the backend; its receiver hears nothing more."""

    def pause(self) -> None:
        """Read no more for now: the client is slower than the backend."""

    def resume(self) -> None: ...


class Receiver(Protocol):
    """Who hears what a call brings: events (or the answer as a whole), then exactly one of end and failure."""

    def on_events(self, events: bytes) -> None: ...

    def on_whole(self, body: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_failure(self, failure: Failure) -> None: ...


class Upstream(Protocol):
    """How backends of one kind are asked."""

    def ask(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> Call:
        """Send a request. Never calls the receiver before it has returned."""


class Clock(Protocol):
    """Monotonic time; an asyncio event loop is one."""

    def time(self) -> float: ...


class Embedding(Protocol):
    """A text on its way through the embedder."""

    @property
    def vector(self) -> Vector | None:
        """Once it is known, which may be after the callback was told otherwise."""

    @property
    def token_vectors(self) -> TokenVectors | None:
        """As ``vector``; ``None`` from a model that does not tell them."""

    def cancel(self) -> None: ...


class Embedder(Protocol):
    """Turns texts into vectors, in another process."""

    @property
    def id(self) -> str | None:
        """Names the model; vectors of different ids are never compared. ``None`` until it is known."""

    def submit(
        self,
        text: str,
        callback: Callable[[Vector | None], None],
        *,
        wait_s: float | None = None,
        background: bool = False,
    ) -> Embedding | None:
        """``callback`` gets the vector, or ``None`` after ``wait_s``; ``None`` at once: it would take longer."""

    def stats(self) -> dict[str, Any]: ...
