from __future__ import annotations

from backend.engines.base import GenerationRequest, Piece, TextPrompt, Usage
from backend.errors import Busy, EngineFailed
from backend.server.exchange import Exchange, error_response
from backend.server.params import Asked
from balancer.wire.http1 import ResponseDecoder
from tests.backend.fakes import ScriptedGeneration
from tests.backend.server.http import Answer

LAST = Piece("!", (2,), "stop", Usage(1, 2))


class Pad:
    """A client that keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.ended: bool | None = None
        """How the answer ended: whether the connection may be used again."""

    def write(self, data: bytes) -> None:
        assert self.ended is None
        self.written += data

    def answered(self, *, keep_alive: bool) -> None:
        self.ended = keep_alive

    @property
    def answer(self) -> Answer:
        decoder = ResponseDecoder()
        body = decoder.feed(self.written)
        return Answer(decoder.status, decoder.headers, body, decoder.complete)


def exchange(pad: Pad, released: list[Exchange], *, stream: bool) -> tuple[Exchange, ScriptedGeneration]:
    """An exchange that writes to ``pad`` and tells ``released`` when its slot is free."""
    request = GenerationRequest(prompt=TextPrompt("x"))
    asked = Asked(
        endpoint="completions",
        model=None,
        request=request,
        stream=stream,
        include_usage=True,
        return_token_ids=False,
        return_prompt_token_ids=False,
    )
    made = Exchange(asked, "m", pad, released.append)
    generation = ScriptedGeneration(request, made)
    made.submitted(generation)
    return made, generation


def test_a_stream_is_written_as_it_comes_and_its_slot_freed_at_the_end() -> None:
    pad = Pad()
    released: list[Exchange] = []
    made, _ = exchange(pad, released, stream=True)
    made.started((1,))
    assert pad.written == b""  # nothing is promised before the first token
    made.piece(Piece("hi", (1,)))
    first = len(pad.written)
    assert first
    made.piece(LAST)
    assert len(pad.written) > first
    assert [c["text"] for e in pad.answer.events[:-1] for c in e["choices"]] == ["hi", "!"]
    assert pad.answer.complete
    assert pad.ended is True
    assert released == [made]


def test_a_whole_answer_is_written_once() -> None:
    pad = Pad()
    released: list[Exchange] = []
    made, _ = exchange(pad, released, stream=False)
    made.started((1,))
    made.piece(Piece("hi", (1,)))
    assert not pad.written
    made.piece(LAST)
    assert pad.answer.json["choices"][0]["text"] == "hi!"
    assert released == [made]


def test_a_failure_before_the_first_token_is_an_answer_of_its_own() -> None:
    pad = Pad()
    released: list[Exchange] = []
    made, _ = exchange(pad, released, stream=True)
    made.failed(EngineFailed("broke"))
    assert (pad.answer.status, pad.answer.error["code"]) == (500, "engine_failed")
    assert pad.ended is True
    assert released == [made]


def test_a_failure_after_the_first_token_is_an_error_event_and_never_a_clean_end() -> None:
    pad = Pad()
    released: list[Exchange] = []
    made, _ = exchange(pad, released, stream=True)
    made.piece(Piece("hi", (1,)))
    made.failed(EngineFailed("broke"))
    assert pad.answer.events[-1]["error"]["code"] == "engine_failed"
    assert not pad.answer.complete
    assert pad.ended is False
    assert released == [made]


def test_an_engine_that_stops_early_is_an_error_to_whoever_still_waits() -> None:
    pad = Pad()
    released: list[Exchange] = []
    made, _ = exchange(pad, released, stream=False)
    made.piece(Piece("", (), "cancelled", Usage(1, 0)))
    assert pad.answer.status == 503
    assert released == [made]


def test_a_client_that_left_cancels_and_its_slot_is_free_only_when_the_engine_says_so() -> None:
    pad = Pad()
    released: list[Exchange] = []
    made, generation = exchange(pad, released, stream=True)
    made.piece(Piece("hi", (1,)))
    written = pad.written
    made.abandon()
    assert generation.cancelled
    assert not released
    made.piece(Piece("more", (2,)))
    made.piece(Piece("", (), "cancelled", Usage(1, 2)))
    assert pad.written == written
    assert released == [made]


def test_busy_says_when_to_come_again() -> None:
    data = error_response(Busy("all taken"))
    assert data.startswith(b"HTTP/1.1 429")
    assert b"retry-after: 1\r\n" in data
