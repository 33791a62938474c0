"""The server's side: bytes to whole requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import httptools

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1.parsing import Decoder, Head, Refused, refuse
from balancer.wire.http1.repeats import Framed, LastHead, framed
from balancer.wire.limits import BODY_MAX_BYTES, HEAD_MAX_BYTES

_LENGTH_MAX_DIGITS: Final = 19
_NEVER_LEARNT: Final = frozenset({b"upgrade", b"transfer-encoding"})
_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)


@dataclass(init=False, slots=True)
class HttpRequest:
    """A whole request. Header names are in lower case; of a name that comes twice the last value counts.

    Without Content-Length, which the body tells itself: so requests with the same head share their ``headers``, which
    nobody changes, and whoever has read them once need not read them again.
    """

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool
    version: str
    """1.0 | 1.1"""

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
        version: str = "1.1",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.version = version


class RequestDecoder(Decoder):
    """The server's side: bytes to whole requests, pipelined ones in order.

    ``feed`` raises `RemoteProtocolError` whose ``status`` answers the client; the connection must then close.
    Requests that came whole before the malformed one are given first: ``error`` is then set, and the next call raises
    it. The parser sees only what is new: a head that repeats, and the body behind it, are taken without it.
    """

    _parser: httptools.HttpRequestParser

    def __init__(self, max_body_bytes: int = BODY_MAX_BYTES) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._max_body_bytes = max_body_bytes
        self._done: list[HttpRequest] = []
        self._head = Head()
        self._body: bytes | bytearray = b""
        self._quiet_bytes = 0
        self._begun = False
        self._version = ""
        self._length: bytes | None = None
        """What the head that was parsed last said of the body."""
        self._last: LastHead[tuple[Head, HttpRequest]] = LastHead()
        self._new: Framed | None = None
        """A head that the parser is reading; it is learnt when all went well."""
        self._repeated: HttpRequest | None = None
        """The request whose head was seen again, while its body comes."""
        self._owed_bytes = 0
        """Of that body."""
        self.error: RemoteProtocolError | None = None

    @property
    def in_message(self) -> bool:
        """A request has begun and has not ended: its sender owes the rest within a deadline."""
        return self._begun

    @property
    def in_body(self) -> bool:
        return self._begun and self._head.complete

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Of the request whose body is coming: what `HttpRequest.headers` will be, plus Content-Length at most."""
        return self._head.headers

    @property
    def body_bytes(self) -> int:
        """What has come of the body of a request that has not ended."""
        return len(self._body)

    @property
    def wants_continue(self) -> bool:
        """The client waits for `CONTINUE` before it sends the body (RFC 9110, 10.1.1)."""
        return self.in_body and not self._body and self._head.headers.get(b"expect", b"").lower() == b"100-continue"

    def feed(self, data: bytes) -> list[HttpRequest]:
        """Take bytes, give the requests they complete."""
        if self.error is not None:
            raise self.error
        try:
            while data:
                if self._owed_bytes:
                    data = self._body_of_repeated(data)
                elif not self._begun and (found := self._last.match(data)) is not None:
                    data = self._feed_repeated(data, *found)
                else:
                    data = self._feed_until_upgrade(data)
        except RemoteProtocolError as error:
            self.error = error
            if not self._done:
                raise
        done, self._done = self._done, []
        return done

    def _feed_repeated(self, data: bytes, body_at: int, length: int) -> bytes:
        """Take the same head again; the parser does not see it, nor the body behind it."""
        assert self._last.read is not None
        if length > self._max_body_bytes:
            raise self._too_large().error
        self._head, last = self._last.read
        end = body_at + length
        request = HttpRequest(last.method, last.path, last.query, last.headers, data[body_at:end], True, last.version)
        if len(data) >= end:
            self._done.append(request)
            return data[end:]
        self._repeated = request
        self._begun = True
        self._body = request.body
        self._owed_bytes = end - len(data)
        return b""

    def _body_of_repeated(self, data: bytes) -> bytes:
        """Take what is owed; what is left belongs to the next request."""
        owed = self._owed_bytes
        mine = data if len(data) <= owed else data[:owed]
        self._owed_bytes -= len(mine)
        if mine:
            self._gather(mine)
        if not self._owed_bytes:
            request = self._repeated
            assert request is not None
            request.body = bytes(self._body)
            self._body = b""
            self._begun = False
            self._done.append(request)
        return data[len(mine) :]

    def _feed_until_upgrade(self, data: bytes) -> bytes:
        """Feed; what is left is a request that asked to switch protocols, without the asking.

        The parser takes such a request to end with its head. Java's client, for one, asks so in every POST.
        """
        if not self._begun:
            self._new = framed(data)
        try:
            self._feed(data, 400)
        except httptools.HttpParserUpgrade as upgrade:
            asked = self._done.pop()
            head = [asked.method.encode() + b" " + self._head.target + b" HTTP/" + self._version.encode()]
            head += [name + b": " + value for name, value in asked.headers.items() if name != b"upgrade"]
            if self._length is not None:
                head.append(b"content-length: " + self._length)
            self._parser = httptools.HttpRequestParser(self)
            return b"\r\n".join(head) + b"\r\n\r\n" + data[upgrade.args[0] :]
        if not self._begun:
            self._quiet_bytes = 0  # blank lines between requests, for hours
        return b""

    def on_message_begin(self) -> None:
        self._begun = True
        self._head = Head()
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._head.target += url
        if len(self._head.target) > HEAD_MAX_BYTES:
            raise refuse("target_too_long", "the request target is too long", 414)

    def on_headers_complete(self) -> None:
        self._quiet_bytes = 0
        self._head.complete = True
        headers = self._head.headers
        self._version = version = self._parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise refuse("http_version", "only HTTP/1.0 and HTTP/1.1 are served here", 505)
        if b"host" not in headers and version == "1.1":
            raise refuse("bad_http", "a request of HTTP/1.1 names its host", 400)
        if self._parser.get_method() == b"CONNECT":
            raise refuse("no_proxy", "CONNECT is for proxies", 501)
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if version == "1.0":
                raise refuse("bad_http", "HTTP/1.0 knows no transfer coding", 400)  # RFC 9112, 6.1
            if coding.lower() != b"chunked":
                raise refuse("transfer_coding", "no transfer coding but chunked is understood", 501)
        length = headers.get(b"content-length", b"")  # the parser has checked that it is a number
        if length and (len(length) > _LENGTH_MAX_DIGITS or int(length) > self._max_body_bytes):
            raise self._too_large()
        if not self._head.target.startswith(b"/"):
            self._head.target = _origin_form(self._head.target)

    def on_body(self, data: bytes) -> None:
        self._quiet_bytes = 0
        if len(self._body) + len(data) > self._max_body_bytes:
            raise self._too_large()
        self._gather(data)

    def _gather(self, data: bytes) -> None:
        if not self._body:
            self._body = data  # most bodies come in one piece and are never copied
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body) + data  # a list would cost 40 bytes for each tiny chunk

    def on_message_complete(self) -> None:
        self._quiet_bytes = 0
        self._begun = False
        path, _, query = self._head.target.decode("latin-1").partition("?")
        parser = self._parser
        head, version, body = self._head, self._version, bytes(self._body)
        self._body = b""
        self._length = head.headers.pop(b"content-length", None)
        keep_alive = parser.should_keep_alive()
        request = HttpRequest(parser.get_method().decode(), path, query, head.headers, body, keep_alive, version)
        self._done.append(request)
        new, self._new = self._new, None
        if not keep_alive:
            self._last = LastHead()  # from here on the parser refuses everything, so nothing must pass it by
        # Whatever makes the parser's way with a message depend on more than its length is left to the parser.
        elif new is not None and len(body) == int(new.digits) and _NEVER_LEARNT.isdisjoint(head.headers):
            self._last.learn(new, (head, replace(request, body=b"")))

    def _too_large(self) -> Refused:
        return refuse("body_too_large", f"the body is longer than {self._max_body_bytes} bytes", 413)


def _origin_form(target: bytes) -> bytes:
    """The path and query of an absolute target (RFC 9112, 3.2.2); ``*`` stays."""
    match = _ABSOLUTE.match(target)
    if match is not None:
        rest = target[match.end() :]
        return rest if rest.startswith(b"/") else b"/" + rest
    if target == b"*":
        return target
    raise refuse("bad_http", "the request target is neither a path nor an http URL", 400)
