"""HTTP connections: requests are answered in order, and each stage has a deadline. What is answered is given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from balancer.doors.clients import LINGER_S, Clients
from balancer.wire import http1, openai
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import HttpRequest, RequestDecoder
from balancer.wire.limits import UNSENT_MAX_BYTES

PIPELINED_MAX = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def error_answer(status: int, message: str, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An error in OpenAI's shape."""
    kind = "server_error" if status >= 500 else "not_found_error" if status == 404 else "invalid_request_error"
    return Answer(status, openai.error_body(message, kind, code), headers)


class HttpConnection(asyncio.Protocol):
    """One connection of an HTTP client."""

    def __init__(self, clients: Clients, answer: Callable[[HttpRequest], Answer]) -> None:
        self._clients = clients
        self._answer = answer
        self._decoder = RequestDecoder()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stage = ""
        self._unread: deque[HttpRequest] = deque()
        self._write_paused = False
        self._refused = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_MAX_BYTES)
        self._clients.opened(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            requests = self._decoder.feed(data)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        if self._decoder.wants_continue and not requests:
            self._write(http1.CONTINUE)
        self._unread.extend(requests)
        if len(self._unread) > PIPELINED_MAX:
            self._abort()
            return
        self._answer_all()
        if self._decoder.error is not None:
            self._refuse(self._decoder.error)
        elif requests:
            self._stage = ""
        self._watch()

    def eof_received(self) -> bool:
        return False  # on HTTP a closed sending side means that the client left

    def pause_writing(self) -> None:
        self._write_paused = True
        self._set_timer("write", self._clients.limits.write_s)

    def resume_writing(self) -> None:
        self._write_paused = False
        self._stage = ""
        self._answer_all()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._clients.closed(self)

    def keep_alive(self) -> None:
        """HTTP has nothing to send between answers."""

    def drained(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- requests

    def _answer_all(self) -> None:
        while self._unread and not self._write_paused and self._transport is not None:
            request = self._unread.popleft()
            answer = self._answer(request)
            content = http1.response(answer.status, answer.body, answer.headers, keep_alive=request.keep_alive)
            self._write(content if request.method != "HEAD" else content[: len(content) - len(answer.body)])
            if not request.keep_alive and self._transport is not None:
                self._unread.clear()  # what comes behind the last request is not answered
                self._transport.close()

    # --- time and errors

    def _watch(self) -> None:
        """Head, body and the pause between requests each have a deadline that bytes trickling in do not move."""
        if self._write_paused or self._refused or self._transport is None:
            return
        limits = self._clients.limits
        if not self._decoder.in_message:
            self._set_timer("", limits.idle_s)
        elif not self._decoder.in_body and self._stage != "head":
            self._set_timer("head", limits.line_s)
        elif self._decoder.in_body and self._stage != "body":
            self._set_timer("body", limits.body_s)

    def _set_timer(self, stage: str, seconds: float) -> None:
        self._stage = stage
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._late)

    def _late(self) -> None:
        if self._stage in ("head", "body"):
            message = f"the request's {self._stage} did not end in time"
            self._refuse(RemoteProtocolError("request_timeout", message, status=408))
        else:
            self._abort()

    def _refuse(self, error: RemoteProtocolError) -> None:
        body = openai.error_body(error.message, "invalid_request_error", error.code)
        self._write(http1.response(error.status, body, keep_alive=False))
        if self._transport is not None:
            self._refused = True
            self._transport.write_eof()
            self._set_timer("refused", LINGER_S)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._refused:
            self._transport.write(data)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
