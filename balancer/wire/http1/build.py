"""Heads, whole messages and chunks that we write ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

Headers = Iterable[tuple[str, str]]

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def response_head(
    status: int, headers: Headers, *, length: int | None, chunked: bool = True, keep_alive: bool = True
) -> bytes:
    """An answer's head. Values must hold no line breaks (see `header_value`).

    ``length`` None: the body is chunked or, not ``chunked``, ends with the connection (for HTTP/1.0).
    """
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if length is not None:
        lines.append(f"content-length: {length}")
    elif chunked:
        lines.append("transfer-encoding: chunked")
    if not keep_alive:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def response(status: int, body: bytes, headers: Headers = (), *, keep_alive: bool = True) -> bytes:
    """A whole answer; JSON unless a content type is given."""
    headers = list(headers)
    if "content-type" not in [name.lower() for name, _ in headers]:
        headers.insert(0, ("content-type", "application/json"))
    return response_head(status, headers, length=len(body), keep_alive=keep_alive) + body


def request(method: str, path: str, host: str, body: bytes, headers: Headers = ()) -> bytes:
    """A whole request of ours to an engine."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: {host}",
        "accept-encoding: identity",
        "user-agent: llm-balancer",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, 7.1); empty data is no chunk, since that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def header_value(value: str) -> str:
    """A value that is safe inside a head: printable ASCII, nothing that could end the line."""
    return "".join(c if " " <= c <= "~" else "?" for c in value)
