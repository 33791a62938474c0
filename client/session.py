"""All exchanges of one connection. Pure: bytes in, changed exchanges out, bytes to send; time is an argument.

The shells (`client.connection`, `client.blocking`) move the bytes and wake whoever waits.

**A slow reader.** One connection carries many answers, and whoever reads one of them need not read the others.
Not reading the socket because one answer is full would starve its siblings, for ever if the full one is to be read
after them. So: an answer that is alone on its connection pushes back (`congested`: the shell stops reading the
socket, the balancer stops its backend); one that has siblings is kept up to its bound and then cut, alone, with
`SlowReader`. Keeping without a bound, and one bound for all together, were rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import IN_FLIGHT_MAX, LINE_MAX_BYTES
from balancer.wire.lines import LineDecoder
from balancer.wire.native import Reply, ask_line, cancel_line, parse_reply, wrong_line
from client.errors import BadReply, BadRequest, ClientError, ConnectionLost, TooManyInFlight, from_fields
from client.exchange import BUFFER_MAX_BYTES, Exchange

_REPLY_LINE_MAX_BYTES: Final = 2 * LINE_MAX_BYTES
"""A reply may quote a whole line of ours and more (an embedding, a chunk with logprobs)."""

_HTTP_ANSWERS: Final = (
    "what answers there speaks only HTTP: is this the admin port? The clients' port is 1234 by default"
)


class Session:
    """The client's side of one native connection."""

    def __init__(
        self,
        *,
        key: str | None = None,
        in_flight_max: int = IN_FLIGHT_MAX,
        buffer_max_bytes: int = BUFFER_MAX_BYTES,
    ) -> None:
        self._key = key
        self._in_flight_max = in_flight_max
        self._buffer_max_bytes = buffer_max_bytes
        self._lines = LineDecoder(_REPLY_LINE_MAX_BYTES)
        self._exchanges: dict[int, Exchange] = {}
        self._next_id = 1
        self._out: list[bytes] = []
        self._notice: ClientError | None = None
        self.failure: ConnectionLost | None = None
        """Set once the connection is of no use any more; the shell closes it."""

    @property
    def in_flight(self) -> int:
        return len(self._exchanges)

    @property
    def congested(self) -> bool:
        """The only answer in flight has more buffered than it should: stop reading the socket until it is taken."""
        return len(self._exchanges) == 1 and next(iter(self._exchanges.values())).congested

    def ask(self, body: Mapping[str, Any], *, now: float, **own: Any) -> Exchange:
        """Start a request; ``own``: key, cache, deadline_s. Raises `BadRequest`, `TooManyInFlight`, or ``failure``."""
        if self.failure is not None:
            raise self.failure
        if len(self._exchanges) >= self._in_flight_max:
            raise TooManyInFlight(f"{self._in_flight_max} requests are in flight on this connection")
        try:
            line = ask_line(self._next_id, dict(body), **{"key": self._key, **_given(own)})
        except (TypeError, ValueError) as error:
            raise BadRequest(f"the request is not JSON: {error}", code="not_json") from None
        if len(line) > LINE_MAX_BYTES:
            raise BadRequest(f"the request is longer than {LINE_MAX_BYTES} bytes", code="line_too_long")
        exchange = Exchange(self._next_id, now=now, buffer_max_bytes=self._buffer_max_bytes)
        self._exchanges[exchange.id] = exchange
        self._next_id += 1
        self._out.append(line)
        return exchange

    def cancel(self, exchange: Exchange) -> None:
        """Ask the balancer to stop it. Its ``done`` still comes; its text is dropped from here on."""
        if exchange.outcome is None and not exchange.cancelled:
            self._out.append(cancel_line(exchange.id))
        exchange.drop_events()

    def wrong(self, entry: str, key: str | None = None) -> None:
        """Tell the balancer that this entry of its cache answered wrongly. Raises ``failure``."""
        if self.failure is not None:
            raise self.failure
        self._out.append(wrong_line(entry, key or self._key))

    def forget(self, exchange: Exchange, error: ClientError, now: float) -> None:
        """End it here, whatever the balancer still says about it."""
        exchange.end(error, now)
        self._exchanges.pop(exchange.id, None)

    def receive(self, data: bytes, now: float) -> set[Exchange]:
        """Take in bytes; returns the exchanges that changed. Nonsense ends them all (see ``failure``)."""
        changed: set[Exchange] = set()
        try:
            for line in self._lines.feed(data):
                if line.startswith(b"HTTP/"):
                    raise RemoteProtocolError("bad_reply", _HTTP_ANSWERS)
                reply = parse_reply(line)
                if reply is not None:
                    changed.update(self._route(reply, now))
        except RemoteProtocolError as error:
            changed.update(self.lost(BadReply(error.message), now))
        return changed

    def lost(self, error: ConnectionLost, now: float) -> set[Exchange]:
        """The connection ended: so does every exchange, with an error. Returns them."""
        if self.failure is None:
            if self._notice is not None:
                error = ConnectionLost(f"{error.message}: {self._notice.message}", code=self._notice.code)
            self.failure = error
        ended = set(self._exchanges.values())
        self._exchanges.clear()
        for exchange in ended:
            exchange.end(self.failure, now)
        return ended

    def bytes_to_send(self) -> bytes:
        """What must go out now; empty where nothing must."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _route(self, reply: Reply, now: float) -> Iterable[Exchange]:
        if reply.id is None:
            if reply.error is not None:
                # Of the connection, not of one request: it explains the close that usually follows.
                self._notice = from_fields(reply.error)
            return ()
        exchange = self._exchanges.get(reply.id) if isinstance(reply.id, int) else None
        if exchange is None:
            return ()  # cut or forgotten here while the balancer still wrote
        exchange.feed(reply, now)
        if exchange.outcome is not None:
            del self._exchanges[exchange.id]
            if reply.done is None and reply.error is None:
                self._out.append(cancel_line(exchange.id))  # it outgrew a bound of ours
        return (exchange,)


def _given(own: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in own.items() if value is not None}
