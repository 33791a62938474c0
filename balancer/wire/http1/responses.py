"""The client's side: bytes to answers, body bytes as they come."""

from __future__ import annotations

import httptools

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1.parsing import Decoder, Head, refuse
from balancer.wire.http1.repeats import Framed, LastHead, framed
from balancer.wire.limits import RESPONSE_MAX_BYTES


class ResponseDecoder(Decoder):
    """The client's side of one connection: the answers to requests sent one after the other.

    ``feed`` gives the body bytes that have arrived; ``status`` is set once the head is there, ``complete`` at the end.
    Call `next` before the next request. Raises `RemoteProtocolError` (status 502) for what is not HTTP, once and for
    all. Bytes behind a complete answer are nobody's: they do not harm it, but the connection has no ``keep_alive``.
    The requests must not be HEAD, whose answers only the asker can tell from others.
    """

    _parser: httptools.HttpResponseParser

    def __init__(self, max_body_bytes: int | None = RESPONSE_MAX_BYTES) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._max_body_bytes = max_body_bytes
        self._error: RemoteProtocolError | None = None
        self._last: LastHead[Head] = LastHead()
        self._new: Framed | None = None
        """The head of a first answer that came in one piece, until it is learnt."""
        self._begun = False
        self.next()

    def next(self) -> None:
        """Forget the last answer."""
        self._head = Head()
        self._quiet_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._begun = False
        self.status = 0
        self.complete = False
        self.keep_alive = False

    @property
    def headers(self) -> dict[bytes, bytes]:
        return self._head.headers

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give the body bytes among them."""
        if self._error is not None:
            raise self._error
        if not self._begun:
            self._begun = True
            if (known := self._repeated(data)) is not None:
                return known
            self._new = framed(data)
        try:
            self._feed(data, 502)
        except httptools.HttpParserUpgrade:
            self._broken(RemoteProtocolError("no_upgrade", "the peer switched protocols, unasked", status=502))
        except RemoteProtocolError as error:
            self._broken(error)
        body = self._body
        if not body:
            return b""
        self._body = []
        return body[0] if len(body) == 1 else b"".join(body)

    def _repeated(self, data: bytes) -> bytes | None:
        """The body of a whole answer with the same head as the last one; the parser need not see it."""
        if (found := self._last.match(data)) is None:
            return None
        start, length = found
        if len(data) != start + length or (self._max_body_bytes is not None and length > self._max_body_bytes):
            return None
        assert self._last.read is not None
        self._head = self._last.read
        self.status = 200
        self.complete = self.keep_alive = True
        return data[start:]

    def ends_at_eof(self) -> bool:
        """The peer closed: True if that is how this answer ends (RFC 9112, 6.3), False if it was cut short."""
        headers = self._head.headers
        framed = b"content-length" in headers or b"chunked" in headers.get(b"transfer-encoding", b"").lower()
        return self.complete or (self.status >= 200 and not framed)

    def _broken(self, error: RemoteProtocolError) -> None:
        error.status = 502  # whatever it is called, it is the peer's fault
        self._error = error
        self.keep_alive = False
        if not self.complete:
            raise error

    def on_message_begin(self) -> None:
        if self.complete:
            raise refuse("unasked_answer", "an answer that nobody asked for", 502)

    def on_headers_complete(self) -> None:
        self._quiet_bytes = 0
        self._head.complete = True
        self.status = self._parser.get_status_code()
        if not 100 <= self.status < 600:
            raise refuse("bad_http", f"a status of {self.status}", 502)

    def on_body(self, data: bytes) -> None:
        self._quiet_bytes = 0
        self._body_bytes += len(data)
        if self._max_body_bytes is not None and self._body_bytes > self._max_body_bytes:
            raise refuse("answer_too_large", f"the answer is longer than {self._max_body_bytes} bytes", 502)
        self._body.append(data)

    def on_message_complete(self) -> None:
        if 100 <= self.status < 200:
            self.next()  # an interim answer; the real one follows
            self._begun = True
            self._new = None
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
        new, self._new = self._new, None
        if new is None or not self.keep_alive or self.status != 200 or self._body_bytes != int(new.digits):
            return
        if b"transfer-encoding" not in self._head.headers:
            self._last.learn(new, self._head)
