"""A streamed answer over HTTP on a bare socket, read as a strict client reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httptools

from scripts.chaos_parts.stream import Stream
from tests.e2e.talk import ANSWER_S

PATHS: Final = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
_READ_BYTES: Final = 1 << 16


class HttpStream:
    """One request's answer. Read only while something of it is awaited."""

    def __init__(self, endpoint: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self.events = Stream(endpoint)
        self.headers: dict[str, str] = {}
        self.status = 0
        self.complete = False
        """The body came to its end as HTTP knows it."""
        self.cut = False
        """The connection ended before that."""

    @property
    def pieces(self) -> list[str]:
        return self.events.pieces

    @property
    def text(self) -> str:
        return self.events.text

    @property
    def error_code(self) -> str | None:
        """Of the error event."""
        return self.events.error["code"] if self.events.error is not None else None

    async def until(self, right: Callable[[], object], within_s: float = ANSWER_S) -> None:
        """Read until this holds, or the answer is over."""
        async with asyncio.timeout(within_s):
            while not right() and not self.complete and not self.cut:
                try:
                    data = await self._reader.read(_READ_BYTES)
                except ConnectionResetError:
                    data = b""
                if data:
                    self._parser.feed_data(data)
                else:
                    self.cut = True

    async def begun(self) -> None:
        """Some text has come."""
        await self.until(lambda: self.pieces)
        assert self.pieces, self.events.error

    async def ended(self, within_s: float = ANSWER_S) -> None:
        """It is over, and not cut off."""
        await self.until(lambda: False, within_s)
        assert self.complete, f"cut off after {self.text!r}"
        self.events.end()

    def half_close(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Leave without a word."""
        self._writer.transport.abort()

    # --- httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self.status == 200:
            self.events.feed(body)

    def on_message_complete(self) -> None:
        self.complete = True


@asynccontextmanager
async def stream(port: int, endpoint: str, *headers: str, **body: Any) -> AsyncIterator[HttpStream]:
    """Ask for a stream, with usage, on a connection of its own; closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        content = json.dumps({"stream": True, "stream_options": {"include_usage": True}, **body}).encode()
        lines = [f"POST {PATHS[endpoint]} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
        head = "\r\n".join([*lines, *headers, f"Content-Length: {len(content)}", "", ""])
        writer.write(head.encode() + content)
        yield HttpStream(endpoint, reader, writer)
    finally:
        writer.transport.abort()
