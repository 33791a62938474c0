"""Heads, whole messages and chunks that we write ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

Headers = Iterable[tuple[str, str]]

_JSON: Final = ("content-type", "application/json")
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def response_head(
    status: int, headers: Headers, *, length: int | None, chunked: bool = True, keep_alive: bool = True
) -> bytes:
    """An answer's head. Values must hold no line breaks.

    ``length`` None: the body is chunked or, not ``chunked``, ends with the connection (for HTTP/1.0).
    """
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"
    for name, value in headers:
        head += f"{name}: {value}\r\n"
    if length is not None:
        head += f"content-length: {length}\r\n"
    elif chunked:
        head += "transfer-encoding: chunked\r\n"
    if not keep_alive:
        head += "connection: close\r\n"
    return (head + "\r\n").encode("latin-1", "replace")


def response(status: int, body: bytes, headers: Headers = (), *, keep_alive: bool = True) -> bytes:
    """A whole answer; JSON unless a content type is given."""
    headers = tuple(headers)
    for name, _ in headers:
        if name.lower() == "content-type":
            break
    else:
        headers = (_JSON, *headers)
    return response_head(status, headers, length=len(body), keep_alive=keep_alive) + body


def request(method: str, path: str, host: str, body: bytes, headers: Headers = ()) -> bytes:
    """A whole request of ours to an engine."""
    begun = request_begun(method, path, host, headers)
    if not body and method != "POST":
        return begun + b"\r\n"
    return b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (begun, len(body), body)


def request_begun(method: str, path: str, host: str, headers: Headers = ()) -> bytes:
    """The head of such a request as far as these fields: more may follow."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: {host}",
        "accept-encoding: identity",
        "user-agent: llm-balancer",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, 7.1); empty data is no chunk, since that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
