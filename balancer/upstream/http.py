"""Asking an engine over OpenAI HTTP, and what its answer means for the exchange.

A stream's bytes go on untouched up to the last complete event. A stream is complete only when ``[DONE]`` came: one
that merely ends is broken, since clients could not tell it from a short answer.
"""

from __future__ import annotations

import asyncio
import math

from balancer import errors
from balancer.errors import Failure
from balancer.exchange.ports import Receiver
from balancer.pool.backend import BackendSpec
from balancer.request import Request
from balancer.upstream.connection import Address, Connection, ConnectionPool
from balancer.upstream.converted import Converted
from balancer.wire import http1, openai, responses
from balancer.wire.continuation import can_continue
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import RESPONSE_MAX_BYTES
from balancer.wire.sse import EventSplitter

ERROR_BODY_MAX_BYTES = 64 << 10
TARGETS_MAX = 8192
CUT_SETTLES_S = 0.02
"""A process that is killed loses its connections one after the other. Of one that registered, the control connection
tells within this time that all of it is gone, which is not the request's failure and needs no breaker."""
_PASSED_ON = frozenset({400, 404, 409, 413, 415, 422})
"""The engine refuses the request for what it is: its word goes to the client."""


class Target:
    """What every request to one backend has in common, made once; a backend that registers anew has another."""

    __slots__ = ("_begun", "address", "spec")

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec
        self.address = Address.of(spec)
        self._begun: dict[tuple[str, bool], bytes] = {}

    def request(self, endpoint: str, id: str, body: bytes, *, stream: bool) -> bytes:
        """A whole request."""
        begun = self._begun.get((endpoint, stream))
        if begun is None:
            begun = self._begun[endpoint, stream] = self._begin(endpoint, stream=stream)
        return b"%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (begun, id.encode("latin-1"), len(body), body)

    def _begin(self, endpoint: str, *, stream: bool) -> bytes:
        spec = self.spec
        path = spec.path_prefix + openai.ENDPOINT_PATHS[endpoint]
        headers = [
            ("accept", "text/event-stream" if stream else "application/json"),
            ("content-type", "application/json"),
        ]
        if spec.authorization:
            headers.append(("authorization", spec.authorization))
        return http1.request_begun("POST", path, spec.host_header or f"{spec.host}:{spec.port}", headers)


class HttpUpstream:
    """Backends that speak OpenAI HTTP."""

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections
        self._targets: dict[str, Target] = {}

    def ask(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> HttpCall:
        """See `balancer.exchange.ports.Upstream`."""
        offered, stream = spec.endpoints, request.stream
        token_ids = ids_wanted(spec, request) if spec.abilities else False
        endpoint, body = openai.body_for(
            request.body, request.endpoint, offered, model, stream=stream, raw=request.raw, token_ids=token_ids
        )
        target = self._targets.get(spec.name)
        if target is None or target.spec is not spec:
            target = self._target(spec)
        if endpoint != request.endpoint:
            receiver = Converted(receiver, request)
        content = target.request(endpoint, request.id, body, stream=stream)
        settles_s = CUT_SETTLES_S if spec.kind == "native" else 0.0
        return HttpCall(
            self._connections,
            target.address,
            spec.name,
            content,
            receiver,
            stream=stream,
            endpoint=endpoint,
            settles_s=settles_s,
            tells_end=bool(spec.abilities) and endpoint != "responses",
        )

    def _target(self, spec: BackendSpec) -> Target:
        if len(self._targets) >= TARGETS_MAX:
            self._targets.clear()  # of backends that have long left, most of them
        self._targets[spec.name] = target = Target(spec)
        return target


def ids_wanted(spec: BackendSpec, request: Request) -> bool | str:
    """How to ask for the answer's token ids, so that another backend can go on with exactly them; False: not at all."""
    if not (request.stream and request.resumable and can_continue(request.body, request.endpoint)):
        return False
    return "continue" if "continue_from" in spec.abilities else "token_ids" in spec.abilities


class HttpCall:
    """One request at one engine; a `balancer.exchange.ports.Call` and the user of a connection."""

    __slots__ = (
        "_address", "_before", "_connection", "_connections", "_is_done", "_last", "_name", "_over", "_parts",
        "_parts_bytes", "_paused", "_receiver", "_request", "_settles_s", "_splitter", "_tells_end", "_wants_stream",
    )  # fmt: skip

    def __init__(
        self,
        connections: ConnectionPool,
        address: Address,
        name: str,
        request: bytes,
        receiver: Receiver,
        *,
        stream: bool,
        endpoint: str = "",
        settles_s: float = 0.0,
        tells_end: bool = False,
    ) -> None:
        """``tells_end``: the engine is known to give a reason at the end of every answer."""
        self._connections = connections
        self._settles_s = settles_s
        self._is_done = responses.is_done if endpoint == "responses" else _is_done
        self._wants_stream = stream
        self._tells_end = tells_end
        self._before = self._last = b""
        """The events that came last: usage may stand between the reason and the end."""
        self._address = address
        self._name = name
        self._request = request
        self._receiver = receiver
        self._splitter: EventSplitter | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._paused = False
        self._over = False
        self._connection = connections.acquire(address, self)
        if self._connection is not None:
            self._connection.use(self, request)

    # --- Call

    def cancel(self) -> None:
        self._over = True
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def pause(self) -> None:
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    # --- User of a connection

    def connected(self, connection: Connection) -> None:
        if self._over:
            connection.abort()
            return
        self._connection = connection
        connection.use(self, self._request)
        if self._paused:
            connection.pause()

    def unreachable(self, why: str, *, ours: bool = False) -> None:
        if not self._over:
            self._fail(errors.no_means(self._name, why) if ours else errors.backend_unreachable(self._name, why))

    def lost(self, why: str, *, unused: bool) -> None:
        self._connection = None
        if unused:
            # The engine had closed this idle connection before it could see the request: nobody's failure.
            self._connections.acquire(self._address, self, fresh=True)
        elif self._settles_s:
            asyncio.get_running_loop().call_later(self._settles_s, self._cut, why)
        else:
            self._cut(why)

    def _cut(self, why: str) -> None:
        if not self._over:
            self._fail(errors.backend_cut(self._name, why))

    def received(self, body: bytes) -> None:
        connection = self._connection
        assert connection is not None
        answer = connection.answer
        if self._splitter is not None:
            self._stream(connection, self._splitter, body)
            return
        if self._wants_stream and not self._parts and answer.status == 200:  # noqa: SIM102 - as it is read
            if answer.headers.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
                self._splitter = EventSplitter()
                self._stream(connection, self._splitter, body)
                return
        self._parts.append(body)
        self._parts_bytes += len(body)
        whole = answer.status == 200 and not self._wants_stream
        if answer.complete and whole:
            self._receiver.on_whole(b"".join(self._parts))
            if not self._over:  # the receiver has not cancelled
                self._finish(connection)
        elif answer.complete or self._parts_bytes > (RESPONSE_MAX_BYTES if whole else ERROR_BODY_MAX_BYTES):
            self._refused(answer.status, answer.headers)

    def _finish(self, connection: Connection) -> None:
        self._over = True
        self._connection = None
        connection.release()
        self._receiver.on_end()

    def _stream(self, connection: Connection, splitter: EventSplitter, body: bytes) -> None:
        try:
            events = splitter.feed(body)
        except RemoteProtocolError as error:
            self._fail(errors.backend_failed(self._name, error.message))
            return
        complete = connection.answer.complete
        if complete:
            events += splitter.finish()
        if events:
            done, begun = self._is_done(events), splitter.begun
            if (b'"error"' in events or not (done or splitter.alike(events))) and self._broken_in(events, begun):
                return
            if not done and self._is_done is not _is_done and _is_done(events):
                # A response ends otherwise, but clients would take this for a clean end: it is not relayed.
                self._fail(errors.backend_failed(self._name, "its stream ended before the answer did"))
                return
            if done and self._tells_end and not openai.ends_well(self._before + self._last + events):
                self._lied(events)
                return
            self._before, self._last = self._last, events
            self._receiver.on_events(events)
            if self._over:
                return  # the receiver cancelled
            if done:
                self._finish(connection)
                return
        if complete:
            self._fail(errors.backend_cut(self._name, "its stream ended before the answer did"))

    def _lied(self, events: bytes) -> None:
        """A clean end without a reason, or with one that says that the engine gave up."""
        if before := events[: events.rfind(b"data:", 0, events.rfind(b"[DONE]"))]:
            self._receiver.on_events(before)
        if not self._over:
            self._fail(errors.backend_failed(self._name, "its stream ended before the answer did"))

    def _broken_in(self, events: bytes, begun: bool) -> bool:
        """An engine that breaks inside a stream says so in an event, or writes what is none. What stands before it goes
        on, if the answer has ``begun`` to: else another backend may still be asked as if nothing had been."""
        if self._is_done is responses.is_done:
            said = responses.error_in(events)
            if said is not None:
                self._fail(errors.backend_failed(self._name, "an error event", said))
            return said is not None
        if (broken := openai.until_broken(events)) is None:
            return False
        before, what, message = broken
        if before and begun:
            self._receiver.on_events(before)
        if not self._over:
            self._fail(errors.backend_failed(self._name, what, message))
        return True

    def _refused(self, status: int, headers: dict[bytes, bytes]) -> None:
        message, code, param = openai.error_in(b"".join(self._parts)[:ERROR_BODY_MAX_BYTES])
        if status == 429 or (status == 503 and b"retry-after" in headers):
            self._fail(errors.backend_busy(self._name, _retry_after_s(headers), message))
        elif status in _PASSED_ON:
            self._fail(errors.rejected(message, code, status, param))
        elif status == 200:
            expected = "event stream" if self._wants_stream else "answer of a sane size"
            self._fail(errors.backend_failed(self._name, f"an answer that is no {expected}"))
        else:
            quoted = "" if status in (401, 403) else message  # about our own key, which it may repeat
            self._fail(errors.backend_failed(self._name, f"status {status}", quoted))

    def _fail(self, failure: Failure) -> None:
        self._over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.answer.complete:
                connection.release()
            else:
                connection.abort()
        self._receiver.on_failure(failure)


def _is_done(events: bytes) -> bool:
    """Whether the closing event is among these. Inside JSON the same words follow a quote, not a line's start."""
    end = events.rfind(b"[DONE]")
    at = events.rfind(b"data:", 0, end) if end > 0 else -1
    if at < 0 or events[at + 5 : end].strip(b" "):
        return False
    return at == 0 or events[at - 1] in b"\r\n"


def _retry_after_s(headers: dict[bytes, bytes]) -> float:
    try:
        seconds = float(headers.get(b"retry-after", b"1"))
    except ValueError:
        return 1.0  # an HTTP date: nobody sends one with a 429 that lasts seconds
    return min(max(seconds, 0.0), 120.0) if not math.isnan(seconds) else 1.0
