"""A request of our own, off every client's path: it takes an idle slot or none, and gives it back when it is needed."""

from __future__ import annotations

from collections.abc import Callable

from balancer.errors import Failure
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.exchange import Exchange
from balancer.exchange.journal import Answer, Journal
from balancer.exchange.outcome import Opening, Outcome
from balancer.request import Request


class BackgroundRequest:
    """A sink that gathers one answer; ``callback`` hears once: the answer, or ``None`` if it came to nothing."""

    __slots__ = ("_callback", "_exchange", "_journal", "_over")

    def __init__(self, callback: Callable[[Answer | None], None]) -> None:
        self._callback = callback
        self._exchange: Exchange | None = None
        self._journal = Journal()
        self._over = False

    def begin(self, dispatcher: Dispatcher, request: Request) -> None:
        """Ask. The callback may come from within."""
        exchange = dispatcher.begin(request, self)
        if not self._over:
            self._exchange = exchange
        elif exchange is not None:
            exchange.cancel()  # given up from within

    def cancel(self) -> None:
        """The callback hears nothing more."""
        self._over = True
        if self._exchange is not None:
            self._exchange.cancel()
            self._exchange = None

    def opened(self, opening: Opening) -> None: ...

    def resumed(self, opening: Opening) -> None: ...

    def queued(self, position: int) -> None: ...

    def events(self, events: bytes) -> None:
        self._journal.add(events)

    def whole(self, body: bytes) -> None:
        self._journal.add_whole(body)

    def done(self, outcome: Outcome) -> None:
        answer = self._journal.answer()
        complete = answer is not None and answer.plain and answer.finish_reason == "stop"
        self._end(answer if complete else None)

    def failed(self, failure: Failure) -> None:
        self._end(None)

    def _end(self, answer: Answer | None) -> None:
        if not self._over:
            self._over = True
            self._exchange = None
            self._callback(answer)


def has_idle_slot(dispatcher: Dispatcher, model: str, endpoint: str, *, named: bool = True) -> bool:
    """Whether nobody waits and a backend of this model has a slot that nobody uses."""
    if dispatcher.stopping or len(dispatcher.queue):
        return False
    ledger = dispatcher.registry.ledger
    group = dispatcher.registry.view.group(model, endpoint, named=named, resume=False)
    return any(ledger.in_flight[index] < ledger.slots[index] for tier in group.tiers for index in tier.indexes)
