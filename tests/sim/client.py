"""A client of the simulation: what it has heard, and what must be true of that."""

from __future__ import annotations

from collections import Counter

from balancer.errors import Failure
from balancer.exchange.outcome import Opening, Outcome
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data
from tests.sim.balancer import FIRST, LAST


class Client:
    """One request, and what its client has heard."""

    def __init__(self, number: int, counts: Counter[str]) -> None:
        self.number = number
        self.heard: list[bytes] = []
        self.ended: str | None = None
        self._counts = counts

    def opened(self, opening: Opening) -> None:
        assert self.ended is None

    def resumed(self, opening: Opening) -> None:
        assert self.heard and self.ended is None
        self._counts["resumed"] += 1

    def whole(self, body: bytes) -> None:
        raise AssertionError("a stream was asked for")

    def queued(self, position: int) -> None:
        assert position >= 1
        assert self.ended is None

    def events(self, events: bytes) -> None:
        assert self.ended is None, f"request {self.number} got more after {self.ended}"
        self.heard.append(events)

    def done(self, outcome: Outcome) -> None:
        told = b"".join(self.heard)
        chunks = [parse_chunk(data) for data in event_data(told) if data != b"[DONE]"]
        text = "".join(chunk_text(choice) for chunk in chunks for choice in chunk.choices)
        assert text == FIRST + LAST, f"a token was lost or came twice: {text!r}"
        assert len({chunk.id for chunk in chunks}) == 1
        self.end("done")

    def failed(self, failure: Failure) -> None:
        assert LAST.encode() not in b"".join(self.heard)
        self.end(failure.code)

    def end(self, how: str) -> None:
        assert self.ended is None, f"request {self.number} ended twice: {self.ended}, {how}"
        self.ended = how
        self._counts[how] += 1
