"""An answer, read piece by piece. `AnswerView` is what the asynchronous and the plain form have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import Final

from client.errors import ClientError, ConnectionLost
from client.events import Done, Event, Text, Timing
from client.exchange import Exchange

CANCEL_WAIT_S: Final = 5.0
"""How long `cancel` waits for the balancer to confirm."""


class AnswerView:
    """What is known of an answer, while it arrives and afterwards."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._clock = clock

    @property
    def text(self) -> str:
        """All text that has arrived, read or not."""
        return self._exchange.text

    @property
    def ended(self) -> bool:
        return self._exchange.outcome is not None

    @property
    def done(self) -> Done | None:
        """How it ended; ``None`` while it runs, and where it failed."""
        outcome = self._exchange.outcome
        return outcome if isinstance(outcome, Done) else None

    @property
    def error(self) -> ClientError | None:
        """Why it failed."""
        outcome = self._exchange.outcome
        return outcome if isinstance(outcome, ClientError) else None

    @property
    def queued(self) -> int | None:
        """Its place in the balancer's queue (1 is next), while it waits there."""
        return self._exchange.queued

    @property
    def resumed(self) -> int:
        """How often another backend took over."""
        return self._exchange.resumed

    @property
    def timing(self) -> Timing:
        return self._exchange.timing(self._clock())


class Answer(AnswerView):
    """Iterate it for text pieces, or `events` for everything; read it once, by one reader.

    Leaving the loop early cancels the request. ``async with`` makes sure of it on every path.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: Callable[[], float],
        taken: Callable[[], None],
        cancel: Callable[[Exchange], None],
        forget: Callable[[Exchange, ClientError], None],
    ) -> None:
        super().__init__(exchange, clock)
        self._taken = taken
        self._send_cancel = cancel
        self._forget = forget
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """The connection has news for this answer."""
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[str, None]:
        events = self.events()
        try:
            async for event in events:
                if isinstance(event, Text):
                    yield event.text
        finally:
            await events.aclose()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Text, queue positions, resumes and chunks in order. Ends at `done`, raises the error it failed with."""
        exchange = self._exchange
        try:
            while True:
                event = exchange.take()
                if event is not None:
                    self._taken()
                    yield event
                elif exchange.outcome is not None:
                    break
                else:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            if exchange.outcome is None:
                self._send_cancel(exchange)
        if isinstance(exchange.outcome, ClientError):
            raise exchange.outcome

    async def read(self) -> str:
        """The whole text, once it is complete."""
        async for _ in self.events():
            pass
        return self.text

    async def cancel(self) -> None:
        """Stop it and wait until the balancer says so; the reader's loop then ends without an error.

        Raises nothing when it had ended already. If the balancer doesn't confirm in `CANCEL_WAIT_S`, the answer
        ends with `ConnectionLost`.
        """
        if self._exchange.outcome is not None:
            return
        self._send_cancel(self._exchange)
        try:
            async with asyncio.timeout(CANCEL_WAIT_S):
                while self._exchange.outcome is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._forget(self._exchange, ConnectionLost("the balancer did not confirm the cancel"))

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.ended:
            self._send_cancel(self._exchange)
