"""The native door: JSON lines, many requests at once on a connection.

A client that closes its sending side is still answered. It has left when a write to it fails: so until the first
token a blank line goes out every half second. A client that reads too slowly pauses its own exchanges, and is cut
when it stays so; its further lines wait, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from balancer.corking import Cork, Outbox
from balancer.doors.addresses import host_of
from balancer.doors.asking import make_asked, malformed
from balancer.doors.cache_routes import wronged
from balancer.doors.clients import LINGER_S, Clients, Unfinished
from balancer.doors.native_answer import NativeAnswer, failure_line
from balancer.errors import Failure, bad_request, uploads_full
from balancer.request import Request
from balancer.wire import native
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import BAD_LINES_MAX, IN_FLIGHT_MAX, PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES
from balancer.wire.lines import LineDecoder
from balancer.wire.native import Ask, BadLine, Cancel, Control, RequestId, Wrong

LEFT_CHECK_S = 0.25
"""After a client closed its sending side. The first write to one that left brings a reset, and the second fails."""


class NativeConnection(asyncio.Protocol):
    """One connection of a native client; or of an agent, until its first line shows that."""

    def __init__(self, clients: Clients, agent: Callable[[], asyncio.Protocol], cork: Cork | None = None) -> None:
        self._clients = clients
        self._outbox = Outbox(cork)
        self._agent = agent
        self._limits = clients.limits
        self._lines = LineDecoder()
        self._answers: dict[RequestId, NativeAnswer] = {}
        self._unnamed: deque[tuple[Ask, int]] = deque()
        """Requests without id that wait for an earlier one, with the sizes of their lines."""
        self._unnamed_bytes = 0
        self._unnamed_busy = False
        self._held = bytearray()
        """Input that came while the client did not read its answers."""
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._asked_last = False
        self._eof = False
        self._bad_lines = 0  # since the last request
        self._unfinished = Unfinished(clients)
        self._refused = False
        self._became: asyncio.Protocol | None = None
        """The agent's side, once this turned out to be an agent."""
        self._write_paused = False
        self._write_timer: asyncio.TimerHandle | None = None
        self._line_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._outbox.transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_MAX_BYTES)
        self._peer = host_of(transport.get_extra_info("peername"))
        self._clients.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._write_paused:
            self._held += data
            if len(self._held) > PIPELINED_MAX_BYTES:
                self._abort()
            return
        try:
            lines = self._lines.feed(data)
        except RemoteProtocolError as error:
            self._refuse_and_close(malformed(error))
            return
        for at, line in enumerate(lines):
            self._line(line)
            if self._became is not None:  # what came behind "register" in the same segment is the agent's, too
                rest = b"".join(later + b"\n" for later in lines[at + 1 :]) + self._lines.rest()
                self._became.data_received(rest)
                return
            if self._refused:
                return
        if self._lines.error is not None:
            self._refuse_and_close(malformed(self._lines.error))
        elif (size := self._lines.buffered_bytes) != self._unfinished.held_bytes and not self._unfinished.hold(size):
            self._refuse_and_close(uploads_full())
        self._watch_half_line(began_anew=bool(lines))

    def eof_received(self) -> bool:
        self._eof = True
        if self._refused:
            return False
        if not self._write_paused:
            self._end_of_input()
        asyncio.get_running_loop().call_later(LEFT_CHECK_S, self.keep_alive)
        return True

    def _end_of_input(self) -> None:
        """All that came before the end of the input was read: what was asked is answered, then this closes."""
        self._asked_last = True
        rest = self._lines.rest()
        if rest:
            self._line(rest)
        self._watch_half_line(began_anew=True)
        self._close_if_done()

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._line_timer is not None:  # the rest of a line may well be in what is held from here on
            self._line_timer.cancel()
            self._line_timer = None
        self._write_timer = asyncio.get_running_loop().call_later(self._limits.write_s, self._abort)
        for answer in self._answers.values():
            answer.pause()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if self._transport is None or self._transport.is_closing():
            self._close()
            return
        for answer in list(self._answers.values()):
            answer.resume()
        if self._held:
            held, self._held = bytes(self._held), bytearray()
            self.data_received(held)
        if self._eof and not self._asked_last and not self._write_paused:
            self._end_of_input()
        else:
            self._watch_half_line(began_anew=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outbox.lost()
        for timer in (self._write_timer, self._line_timer):
            if timer is not None:
                timer.cancel()
        self._forget_all()
        self._unfinished.hold(0)
        self._clients.closed(self)

    def _forget_all(self) -> None:
        self._unnamed.clear()
        for answer in list(self._answers.values()):
            answer.cancel()
        self._answers.clear()

    # --- lines

    def _line(self, line: bytes) -> None:
        if self._transport is None:
            return
        try:
            message = native.parse_line(line)
        except BadLine as error:
            self._bad_line(error.id, malformed(error))
            return
        match message:
            case Ask():
                self._ask(message, len(line))
            case Cancel():
                if (answer := self._answers.get(message.id)) is not None:
                    answer.cancel_by_client()
            case Wrong():
                self.write(wronged(self._clients, self._peer, message))
            case Control():
                self._control(message)

    def _bad_line(self, id: RequestId, failure: Failure) -> None:
        self._tell(id, failure)
        self._bad_lines += 1
        if self._bad_lines > BAD_LINES_MAX:
            message = f"more than {BAD_LINES_MAX} lines made no sense, with no request among them"
            self._refuse_and_close(bad_request(message, "too_many_bad_lines"))

    def _ask(self, ask: Ask, size_bytes: int) -> None:
        if ask.id is None:
            self._unnamed.append((ask, size_bytes))
            self._unnamed_bytes += size_bytes
            if not self._unnamed_busy:
                self._next_unnamed()
            elif self._unnamed_bytes > PIPELINED_MAX_BYTES:
                self._abort()
        elif ask.id in self._answers:
            self._bad_line(ask.id, bad_request(f"the id {ask.id!r} is already in flight", "duplicate_id"))
        elif len(self._answers) >= IN_FLIGHT_MAX:
            message = f"more than {IN_FLIGHT_MAX} requests in flight on one connection"
            self._tell(ask.id, bad_request(message, "too_many_in_flight", 429))
        else:
            self._begin(ask)

    def _begin(self, ask: Ask) -> None:
        tenant = self._clients.authenticate(self._peer, ask.key.encode() if ask.key is not None else None)
        if isinstance(tenant, Failure):
            request: Request | Failure = tenant
        else:
            explains = ask.explain and self._clients.may_explain(self._peer, tenant)
            request = make_asked(ask, id=self._clients.new_id(), tenant=tenant, explains=explains)
        if isinstance(request, Failure):
            self._tell(ask.id, request, "" if isinstance(tenant, Failure) else tenant)
            self.over(ask.id)
            return
        self._bad_lines = 0
        answer = NativeAnswer(self, ask.id)
        self._answers[ask.id] = answer
        exchange = self._clients.dispatcher.begin(request, answer)
        if exchange is not None and exchange.state.live:
            answer.exchange = exchange
            if self._write_paused:
                exchange.pause()

    def _tell(self, id: RequestId, failure: Failure, tenant: str = "") -> None:
        self._clients.refused(self._clients.new_id(), failure, tenant)
        self.write(failure_line(id, failure))

    def _control(self, message: Control) -> None:
        if message.kind != "register" or self._answers or self._asked_last:
            failure = bad_request(f'"{message.kind}" belongs on a connection that began with "register"')
            self.write(failure_line(None, failure))
            return
        self._outbox.flush()
        transport = self._transport
        assert transport is not None
        self.connection_lost(None)
        self._became = agent = self._agent()
        transport.set_protocol(agent)
        agent.connection_made(transport)
        agent.data_received(message.line + b"\n")

    # --- writing

    def write(self, data: bytes) -> None:
        if not self._refused:
            self._outbox.write(data)

    def keep_alive(self) -> None:
        """Called twice a second: a write is what tells whether the client is still there; also one that closed its
        sending side, whose tokens come slowly."""
        if self._transport is None or self._write_paused:
            return
        if any(answer.silent or self._eof for answer in self._answers.values()):
            self._transport.write(native.KEEPALIVE)

    def over(self, id: RequestId) -> None:
        """An answer has ended; those without id come one by one."""
        self._answers.pop(id, None)
        if id is None and self._unnamed:
            # Not from within the end of another exchange: a hundred cached answers would nest a hundred calls deep.
            asyncio.get_running_loop().call_soon(self._next_unnamed)
            return
        if id is None:
            self._unnamed_busy = False
        self._close_if_done()

    def _next_unnamed(self) -> None:
        if self._unnamed:  # unless the connection was refused or lost meanwhile
            self._unnamed_busy = True
            ask, size_bytes = self._unnamed.popleft()
            self._unnamed_bytes -= size_bytes
            self._begin(ask)

    @property
    def unsent(self) -> bool:
        return self._outbox.unsent

    def drained(self) -> None:
        """The daemon stops: close as soon as nothing runs here."""
        self._asked_last = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._asked_last and not self._answers and not self._unnamed:
            self._close()

    def _watch_half_line(self, *, began_anew: bool) -> None:
        """A line that has begun must end in time, however many bytes trickle in; an idle connection may stay."""
        if self._line_timer is not None and (began_anew or not self._lines.buffered_bytes):
            self._line_timer.cancel()
            self._line_timer = None
        if self._line_timer is None and self._lines.buffered_bytes and self._transport is not None:
            self._line_timer = asyncio.get_running_loop().call_later(self._limits.line_s, self._half_line)

    def _half_line(self) -> None:
        message = f"a line did not end within {self._limits.line_s:g} s"
        self._refuse_and_close(bad_request(message, "line_timeout", 408))

    def _refuse_and_close(self, failure: Failure) -> None:
        if self._transport is None or self._refused:
            return
        self._tell(None, failure)
        self._refused = True
        self._lines = LineDecoder()  # what came of a line is let go
        self._unfinished.hold(0)
        self._forget_all()
        self._outbox.flush()
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self._close)

    def _close(self) -> None:
        """Close once all is written; a client that does not read it has as long as for any other write."""
        if self._transport is None:
            return
        self._outbox.flush()
        self._transport.close()
        if self._write_timer is None:
            self._write_timer = asyncio.get_running_loop().call_later(self._limits.write_s, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
