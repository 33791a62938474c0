"""HTTP connections: requests are answered in order, and each stage has a deadline. What is answered is given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from balancer.corking import Cork, Outbox
from balancer.doors.addresses import host_of
from balancer.doors.answer import Answer, Pending, failure_answer
from balancer.doors.asking import malformed
from balancer.doors.clients import LINGER_S, Clients, Unfinished
from balancer.doors.deadline import Deadline
from balancer.doors.leaving import has_left
from balancer.errors import Failure, request_timeout, uploads_full
from balancer.wire import http1
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import HttpRequest, RequestDecoder
from balancer.wire.limits import PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES

PIPELINED_MAX = 16
_KEPT: Final = ("connection", "keep-alive")  # HTTP/1.0 closes unless this is said: RFC 9112, C.2.2


class HttpConnection(asyncio.Protocol):
    """One connection of an HTTP client.

    ``answer`` is given each request and this connection, and answers at once or with a `Pending`, which then calls
    `write` and, at its end, `over`. ``refuses`` is shown the head of a request whose body is still to come.
    """

    def __init__(
        self,
        clients: Clients,
        answer: Callable[[HttpRequest, HttpConnection], Answer | Pending | None],
        cork: Cork | None = None,
        refuses: Callable[[dict[bytes, bytes], HttpConnection], Failure | None] | None = None,
    ) -> None:
        self._clients = clients
        self._answer = answer
        self._refuses = refuses
        self._outbox = Outbox(cork)
        self.peer = ""
        """The client's address."""
        self.read: object = None
        """What the answering side parsed from the last head; used again if the same head comes."""
        self._pending: Pending | None = None
        self._asked: HttpRequest | None = None
        self._id = ""
        self._closing = False
        self._decoder = RequestDecoder()
        self._transport: asyncio.Transport | None = None
        self._deadline = Deadline(self._late)
        self._unread: deque[HttpRequest] = deque()
        self._ahead_bytes = 0
        """Input that came while an earlier request was not answered yet."""
        self._held = False
        """Nothing is read: too much has come ahead."""
        self._bad: Failure | None = None
        """What is wrong with the input; told once all that came before it is answered."""
        self._unfinished = Unfinished(clients)
        self._admitted = False
        """The head of the body that is coming was not refused."""
        self._write_paused = False
        self._refused = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._outbox.transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_MAX_BYTES)
        self.peer = host_of(transport.get_extra_info("peername"))
        self._clients.opened(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._bad is not None:
            return
        if self._asked is not None or self._write_paused:
            self._ahead_bytes += len(data)
        requests: list[HttpRequest] = []
        try:
            requests = self._decoder.feed(data)
        except RemoteProtocolError:
            pass  # the decoder keeps it
        if self._decoder.error is not None:
            self._bad = malformed(self._decoder.error)
        self._unread.extend(requests)
        if requests:
            self._deadline.stage = ""
            self._admitted = False
            if self._unfinished.held_bytes:
                self._unfinished.hold(0)
        self._go_on()

    def eof_received(self) -> bool:
        """On HTTP a closed sending side means that the client left; what is already written still goes out."""
        self._unread.clear()
        self._leave()
        self._outbox.flush()
        self._deadline.set("closing", self._clients.limits.write_s)
        return False

    def pause_writing(self) -> None:
        self._write_paused = True
        self._deadline.set("write", self._clients.limits.write_s)
        if self._pending is not None:
            self._pending.pause()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._deadline.stage = ""
        if self._asked is None:
            self._ahead_bytes = 0
        if self._pending is not None:
            self._pending.resume()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outbox.lost()
        self._deadline.end()
        self._leave()
        self._unfinished.hold(0)
        self._clients.closed(self)

    def _leave(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()

    def keep_alive(self) -> None:
        if self._held and has_left(self._transport):
            self._abort()
        if self._pending is not None and not self._write_paused:
            self._pending.keep_alive()

    @property
    def unsent(self) -> bool:
        return self._outbox.unsent

    def drained(self) -> None:
        """The next answer is the last. Who is idle may still ask ``/readyz``, and hears that the daemon is stopping."""
        self._closing = True

    # --- requests

    @property
    def _open(self) -> bool:
        """There is more to come from both sides."""
        return self._transport is not None and not self._refused and not self._transport.is_closing()

    def _go_on(self) -> None:
        """Answer what is there to be answered, then wait for what is owed."""
        self._answer_all()
        if self._asked is None and not self._write_paused and self._open:
            if self._bad is None and self._decoder.in_body:
                self._bad = self._take_body()
            if self._bad is not None:
                self._refuse(self._bad)
        self._watch()

    def _take_body(self) -> Failure | None:
        """Some of a body has come, or all before it; a failure if no more of it is wanted."""
        decoder = self._decoder
        if not self._admitted:
            self._id = self._clients.id_for(decoder.headers)
            if self._refuses is not None and (refusal := self._refuses(decoder.headers, self)) is not None:
                return refusal
            if decoder.wants_continue:
                self.write(http1.CONTINUE)
            self._admitted = True
        return None if self._unfinished.hold(decoder.body_bytes) else uploads_full()

    def _answer_all(self) -> None:
        while self._unread and self._asked is None and not self._write_paused and self._transport is not None:
            self._asked = request = self._unread.popleft()
            answer = self._answer(request, self)
            if isinstance(answer, Answer):
                self.respond(answer)
            elif self._awaits(request):  # else it was answered at once
                self._pending = answer

    def _awaits(self, request: HttpRequest) -> bool:
        """In a method of its own: in line, a checker takes it for what was just assigned, and so does mypyc."""
        return self._asked is request

    # --- what an answer may do

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection stays open after the answer that is being made."""
        return not self._closing and self._asked is not None and self._asked.keep_alive

    @property
    def request_id(self) -> str:
        """The client's own name of the current request if it can stand in logs and headers, else a new one."""
        if not self._id:
            self._id = self._clients.id_for(self._asked.headers if self._asked is not None else {})
        return self._id

    @property
    def chunked(self) -> bool:
        """Whether an answer of unknown length goes out in chunks; else (HTTP/1.0) it ends with the connection."""
        return self._asked is not None and self._asked.version != "1.0"

    def stream_head(self, fields: bytes) -> bytes:
        """The head of an answer of unknown length to the current request; ``fields`` as in `respond_with`."""
        self._closing = self._closing or not self.chunked
        return self._ok(fields, b"transfer-encoding: chunked\r\n" if self.chunked else b"")

    def respond(self, answer: Answer) -> None:
        """Answer the current request as a whole."""
        assert self._asked is not None
        headers = (*answer.headers, ("x-request-id", self.request_id))
        if self.keeps_alive and not self.chunked:
            headers += (_KEPT,)
        content = http1.response(answer.status, answer.body, headers, keep_alive=self.keeps_alive)
        self.write(content if self._asked.method != "HEAD" else content[: len(content) - len(answer.body)])
        self.over()

    def respond_with(self, fields: bytes, body: bytes) -> None:
        """Answer the current request with status 200; ``fields`` are header fields, each with its line end.

        What `respond` does, in half the time: this is how almost all answers go.
        """
        self.write(self._ok(fields, b"content-length: %d\r\n" % len(body)) + body)
        self.over()

    def _ok(self, fields: bytes, framing: bytes) -> bytes:
        kept = b"\r\n" if self.chunked else b"connection: keep-alive\r\n\r\n"
        end = kept if self.keeps_alive else b"connection: close\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\n%bx-request-id: %b\r\n%b%b" % (fields, self.request_id.encode(), framing, end)

    def write(self, data: bytes) -> None:
        """Part of the current answer."""
        if not self._refused:
            self._outbox.write(data)

    def over(self) -> None:
        """The current answer is complete; the next request may be answered."""
        again, in_loop = self.keeps_alive, self._pending is None
        self._asked = self._pending = None
        self._id = ""
        self._ahead_bytes = 0
        if self._transport is None or (again and in_loop):
            return
        if not again:
            self._unread.clear()  # what comes behind the last request is not answered
            self._outbox.flush()
            self._transport.close()
            self._deadline.set("closing", self._clients.limits.write_s)
        elif self._unread or self._bad is not None or self._decoder.in_message:
            self._go_on()
        else:
            self._watch()

    # --- time and errors

    def _watch(self) -> None:
        """Head, body and the pause between requests each have a deadline that bytes trickling in do not move."""
        if not self._open:
            return
        deadline = self._deadline
        held = self._ahead_bytes > PIPELINED_MAX_BYTES or len(self._unread) > PIPELINED_MAX
        self._hold(held)
        if self._write_paused:
            return
        if held:
            deadline.stage = ""
            deadline.put_off()  # nobody can send what he owes
            return
        limits = self._clients.limits
        if not self._decoder.in_message:
            if self._asked is None:
                deadline.set("", limits.idle_s)
            else:
                deadline.put_off()  # it is the answer's turn, and that has deadlines of its own
        elif not self._decoder.in_body and deadline.stage != "head":
            deadline.set("head", limits.line_s)
        elif self._decoder.in_body and deadline.stage != "body":
            deadline.set("body", limits.body_s)

    def _hold(self, held: bool) -> None:
        """Whether nothing is read for now."""
        if held is not self._held and self._transport is not None:
            self._held = held
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    def _late(self) -> None:
        if self._deadline.stage in ("head", "body"):
            self._bad = request_timeout(self._deadline.stage)
            self._go_on()
        else:
            self._abort()

    def _refuse(self, failure: Failure) -> None:
        self._clients.refused(self.request_id, failure)
        answer = failure_answer(failure, (("x-request-id", self.request_id),))
        self.write(http1.response(answer.status, answer.body, answer.headers, keep_alive=False))
        if self._transport is not None:
            self._refused = True
            self._decoder = RequestDecoder()  # what came of a body is let go
            self._unfinished.hold(0)
            self._hold(False)
            self._outbox.flush()
            self._transport.write_eof()
            self._deadline.set("refused", LINGER_S)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
