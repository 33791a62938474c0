"""The sink of an HTTP client that asked a model: a stream of events, or one body.

Until the answer begins, nothing is sent, so that an error keeps its status and the headers can say what happened.
A stream that still waits after five seconds gets its head all the same and then a comment every five seconds, since
proxies between would think it dead; from there on an error is an event, never a clean end that lies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from balancer import errors
from balancer.doors.answer import failure_answer
from balancer.doors.http import HttpConnection
from balancer.errors import Failure
from balancer.exchange.exchange import Exchange
from balancer.exchange.journal import Journal
from balancer.exchange.outcome import Opening, Outcome
from balancer.exchange.ports import Clock
from balancer.request import Request
from balancer.wire import http1, openai
from balancer.wire.dialect import usage_of
from balancer.wire.sse import event, event_data
from balancer.wire.whole import whole_body, without_usage

HEAD_HELD_S: Final = 5.0
_PING: Final = b": ping\n\n"
_STREAM_FIELDS: Final = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
_WHOLE_FIELDS: Final = b"content-type: application/json\r\n"
_OPENINGS_KNOWN_MAX: Final = 1024


class OpenAIAnswer:
    """One request's answer on its connection; a `balancer.exchange.ports.Sink` and a `balancer.doors.http.Pending`."""

    __slots__ = (
        "_begun", "_clock", "_connection", "_early", "_frame", "_head_sent", "_journal", "_opening",
        "_request", "_said_at", "_unix_time", "_usage_wanted", "_whole", "exchange",
    )  # fmt: skip

    def __init__(
        self,
        connection: HttpConnection,
        request: Request,
        clock: Clock,
        unix_time: Callable[[], int],
        *,
        usage_wanted: bool,
    ) -> None:
        self._connection = connection
        self._frame = http1.chunk if connection.chunked else bytes
        self._request = request
        self._clock = clock
        self._unix_time = unix_time
        self._usage_wanted = usage_wanted
        self._opening: Opening | None = None
        self._journal: Journal | None = None
        self._whole = b""
        self._begun = False
        self._head_sent = False
        self._early = False
        """The head went out before it was known who answers."""
        self._said_at = clock.time()
        self.exchange: Exchange | None = None

    # --- Sink

    def opened(self, opening: Opening) -> None:
        self._opening = opening

    def resumed(self, opening: Opening) -> None:
        self._opening = opening

    def queued(self, position: int) -> None:
        """HTTP clients just wait."""

    def events(self, events: bytes) -> None:
        """Relay events as they are; gather them where one body was asked for."""
        if not self._request.stream:
            if self._journal is None:
                self._journal = Journal()
            self._journal.add(events)
            return
        if not self._usage_wanted:
            events = without_usage(events)
        if self._begun:
            self._connection.write(self._frame(events))
        else:
            self._begin(events)

    def _begin(self, events: bytes) -> None:
        self._check(events)
        head = b"" if self._head_sent else self._head()
        self._begun = self._head_sent = True
        self._connection.write(head + self._frame(events))

    def _check(self, events: bytes) -> None:
        """Raise `ValueError` for first events that are none, while another backend can still be asked."""
        first = next(event_data(events), b"[DONE]")
        if first != b"[DONE]":
            openai.parse_chunk(first)

    def whole(self, body: bytes) -> None:
        self._whole = body

    def done(self, outcome: Outcome) -> None:
        self.exchange = None  # it holds this in turn: without a cycle the garbage collector has nothing to do
        if self._request.stream:
            self._finish(b"")
        else:
            body = self._whole or self._gathered(outcome)
            if body is None:
                self.failed(errors.backend_failed(outcome.backend, "an answer too long to be gathered"))
            else:
                self._connection.respond_with(_WHOLE_FIELDS + fields_of(self._opening), body)

    def failed(self, failure: Failure) -> None:
        exchange, self.exchange = self.exchange, None
        if self._head_sent:
            self._finish(self._error_event(failure))
            return
        opening = self._opening
        if opening is None and exchange is not None and exchange.backend:  # nobody answered: who was asked last
            opening = Opening(exchange.backend, exchange.cache_part, exchange.attempts)
        self._connection.respond(failure_answer(failure, facts_of(opening)))

    def _error_event(self, failure: Failure) -> bytes:
        return event(openai.error_body(failure.message, failure.type, failure.code, failure.param))

    # --- Pending

    def pause(self) -> None:
        if self.exchange is not None:
            self.exchange.pause()

    def resume(self) -> None:
        if self.exchange is not None:
            self.exchange.resume()

    def cancel(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()

    def keep_alive(self) -> None:
        """Send the head of a stream that has waited too long, and show life while it waits on."""
        if not self._request.stream or self._begun:
            return
        now = self._clock.time()
        if now - self._said_at < HEAD_HELD_S:
            return
        self._said_at = now
        if self._head_sent:
            self._connection.write(self._frame(_PING))
            return
        self._early = self._head_sent = True
        self._connection.write(self._head() + self._frame(_PING))

    # --- what is said

    def _head(self) -> bytes:
        return self._connection.stream_head(_STREAM_FIELDS + fields_of(self._opening))

    def _finish(self, last_event: bytes) -> None:
        """End a stream whose head is out: with this event, what the headers could not say, and the end's mark."""
        resumed = self._opening is not None and self._opening.resumed
        comment = self._comment() if self._early or resumed else b""
        end = http1.LAST_CHUNK if self._frame is http1.chunk else b""
        self._connection.write(self._frame(last_event + comment) + end)
        self._connection.over()

    def _comment(self) -> bytes:
        """Who answered, if anybody has begun to."""
        if (opening := self._opening) is None:
            return b""
        resumed = f" resumed={opening.resumed}" if opening.resumed else ""
        text = f": balancer backend={opening.backend} attempts={opening.attempts} cache={opening.cache}{resumed}\n\n"
        return text.encode("latin-1", "replace")

    def _gathered(self, outcome: Outcome) -> bytes | None:
        """One body of what was streamed or cached; ``None`` if that was too much to keep."""
        answer = self._journal.answer() if self._journal is not None else None
        if answer is None:
            return None
        usage = None
        if answer.prompt_tokens is not None and answer.completion_tokens is not None:
            usage = usage_of(answer.prompt_tokens, answer.completion_tokens)
        endpoint = self._request.endpoint
        answer_id = openai.answer_id(endpoint, self._request.id)
        created = self._unix_time()
        return whole_body(endpoint, answer_id, outcome.model, created, answer.text, answer.finish_reason, usage)


def facts_of(opening: Opening | None) -> tuple[tuple[str, str], ...]:
    """Who answers, as header fields; of nobody none."""
    if opening is None:
        return ()
    facts: tuple[tuple[str, str], ...] = (
        ("x-balancer-backend", opening.backend),
        ("x-balancer-cache", cache_header(opening)),
        ("x-balancer-attempts", str(opening.attempts)),
    )
    if opening.model:
        facts += (("x-balancer-model", opening.model),)
    if opening.explanation:
        facts += (("x-balancer-explain", opening.explanation),)
    return facts


def fields_of(opening: Opening | None) -> bytes:
    """The same as lines of a head."""
    if opening is None:
        return b""
    if opening.similarity is opening.age_s is None and not opening.model and not opening.explanation:
        return _fields_of_miss(opening.backend, opening.cache, opening.attempts)
    return _lines_of(facts_of(opening))


@lru_cache(_OPENINGS_KNOWN_MAX)
def _fields_of_miss(backend: str, cache: str, attempts: int) -> bytes:
    """Most answers have those of an earlier one."""
    return _lines_of(facts_of(Opening(backend, cache, attempts)))


def _lines_of(facts: tuple[tuple[str, str], ...]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in facts]).encode("latin-1", "replace")


def cache_header(opening: Opening) -> str:
    """``miss``, ``exact; age=12; entry=5f0c``, ``semantic; similarity=0.971; probability=0.993; age=3; entry=5f0c``."""
    if opening.similarity is None and opening.age_s is None:
        return "miss; shadow=semantic" if opening.cache == "shadow" else opening.cache
    parts = [opening.cache]
    if opening.similarity is not None:
        parts.append(f"similarity={opening.similarity:.3f}")
    if opening.probability is not None:
        parts.append(f"probability={opening.probability:.3f}")
    if opening.age_s is not None:
        parts.append(f"age={opening.age_s:.0f}")
    if opening.entry is not None:
        parts.append(f"entry={opening.entry}")
    return "; ".join(parts)


def usage_wanted(body: dict[str, object]) -> bool:
    """Whether a streaming client asked for the chunk that tells usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
