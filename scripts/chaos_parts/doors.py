"""A client for each door, on bare sockets: it asks once, believes nothing and repeats nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httptools

from scripts.chaos_parts.answer import Answer
from scripts.chaos_parts.asks import Ask
from scripts.chaos_parts.stream import Stream

GIVE_UP_S: Final = 90.0
_READ_BYTES: Final = 1 << 16
_QUIET_S: Final = 0.05
_PATHS: Final = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


async def ask(port: int, what: Ask) -> Answer:
    """One request on a connection of its own. Never raises: what went wrong is in the answer."""
    answer = Answer()
    began = time.monotonic()
    try:
        async with asyncio.timeout(GIVE_UP_S), _connected(port) as (reader, writer):
            await _DOORS[what.door](what, answer, began, reader, writer)
    except (OSError, EOFError, TimeoutError, ValueError, KeyError, TypeError, httptools.HttpParserError) as error:
        answer.error = f"{type(error).__name__}: {error}"
    answer.total_s = time.monotonic() - began
    return answer


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _first(answer: Answer, began: float) -> None:
    if answer.ttft_s is None:
        answer.ttft_s = time.monotonic() - began


# --- native lines


async def _native(
    what: Ask, answer: Answer, began: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(json.dumps({"id": what.number, **what.body}).encode() + b"\n")
    told_resumed = 0
    pieces = []
    while line := await reader.readline():
        if line.isspace():
            continue
        reply = json.loads(line)
        if reply.pop("id", None) != what.number:
            answer.faults.append(f"another id: {line[:80]!r}")
        ((kind, value),) = reply.items()
        if kind == "text":
            _first(answer, began)
            pieces.append(value)
        elif kind == "resumed":
            told_resumed += 1
        elif kind == "error":
            answer.error = f"{value['code']}: {value['message']}"
            break
        elif kind == "done":
            _take_done(answer, value, told_resumed)
            break
        elif kind != "queued":
            answer.faults.append(f"an unexpected line: {line[:80]!r}")
    else:
        answer.error = "the connection ended before the answer"
    answer.text = "".join(pieces)


def _take_done(answer: Answer, done: dict[str, Any], told_resumed: int) -> None:
    answer.finish_reason, answer.usage = done["finish_reason"], done["usage"]
    answer.attempts, answer.resumed = done["attempts"], done["resumed"]
    if told_resumed != answer.resumed:
        answer.faults.append(f"done.resumed is {answer.resumed}, but {told_resumed} were told")


# --- HTTP


class _Response:
    """An HTTP response on its way through httptools."""

    def __init__(self, stream: Stream | None, answer: Answer, began: float) -> None:
        self._stream = stream
        self._answer = answer
        self._began = began
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        if self._stream is not None and self.headers.get("content-type", "").startswith("text/event-stream"):
            self._stream.feed(body)
            if self._stream.pieces:
                _first(self._answer, self._began)
        else:
            self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


async def _http(
    what: Ask, answer: Answer, began: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if what.stream else {}
    body = json.dumps({**what.body, **streamed}).encode()
    head = f"POST {_PATHS[what.endpoint]} HTTP/1.1\r\nHost: chaos\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    stream = Stream(what.endpoint) if what.stream else None
    response = _Response(stream, answer, began)
    parser = httptools.HttpResponseParser(response)
    while not response.complete:
        data = await reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the connection ended within the answer")
        parser.feed_data(data)
    answer.attempts = int(response.headers.get("x-balancer-attempts", "1"))
    status = parser.get_status_code()
    if status != 200:
        answer.error = f"status {status}: {response.body[:200]!r}"
    elif stream is not None:
        _take_stream(answer, stream)
    else:
        _first(answer, began)
        _take_whole(what, answer, json.loads(response.body))


def _take_stream(answer: Answer, stream: Stream) -> None:
    stream.end()
    answer.text, answer.finish_reason, answer.usage = stream.text, stream.finish_reason, stream.usage
    answer.faults += stream.faults
    answer.resumed = stream.resumed
    answer.attempts = stream.attempts or answer.attempts
    if stream.error is not None:
        answer.error = f"{stream.error.get('code')}: {stream.error.get('message')}"


def _take_whole(what: Ask, answer: Answer, body: dict[str, Any]) -> None:
    (choice,) = body["choices"]
    answer.text = choice["message"]["content"] if what.endpoint == "chat" else choice["text"]
    answer.finish_reason, answer.usage = choice["finish_reason"], body["usage"]


# --- classic


async def _classic(
    what: Ask, answer: Answer, began: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Nothing marks the end of an answer: it is read until it is as long as it must be, and then a moment longer."""
    writer.write(b"CLIENT|ADD" + what.prompt.encode())
    expected = what.expected.encode()
    got = b""
    while len(got) < len(expected):
        data = await reader.read(_READ_BYTES)
        if not data:
            raise EOFError(f"the connection ended after {len(got)} bytes")
        _first(answer, began)
        got += data
        if got.startswith(b"ERROR"):
            answer.error = got.decode("utf-8", "replace").strip()
            return
    try:
        async with asyncio.timeout(_QUIET_S):
            got += await reader.read(_READ_BYTES)
    except TimeoutError:
        pass
    answer.text = got.decode()


_DOORS: Final = {"native": _native, "http": _http, "classic": _classic}
