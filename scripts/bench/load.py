"""The clients: connections that ask one request after the other, over HTTP or as native lines.

No prompt is asked twice, so that an exact cache only misses.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from scripts.bench.mock_engine import MODEL, TOKEN

_TOKEN = TOKEN.strip().encode()
PROMPT = "Tell me a story about a load balancer that never sleeps, number"
KEY = "sk-bench-0123456789abcdefghijklmnopqrstuv"
HEADERS = {
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "authorization": f"Bearer {KEY}",
    "content-type": "application/json",
    "user-agent": "OpenAI/Python 1.99.0",
    "x-stainless-arch": "x64",
    "x-stainless-async": "false",
    "x-stainless-lang": "python",
    "x-stainless-os": "Linux",
    "x-stainless-package-version": "1.99.0",
    "x-stainless-read-timeout": "600",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "CPython",
    "x-stainless-runtime-version": "3.11.7",
}
"""What OpenAI's own client sends."""
_HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    + "content-length: "
).encode()
_numbers = itertools.count((int(time.time()) << 22 | os.getpid()) << 24)  # process numbers have up to 22 bits
GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Shape:
    """What is asked for. ``tokens`` 0: not streamed."""

    tokens: int = 0
    gap_ms: int = 0

    def fields(self) -> bytes:
        """The request without its opening brace and its question."""
        text = f'"model":"{MODEL}"'
        if self.tokens:
            text += f',"stream":true,"max_tokens":{self.tokens}'
        return (text + (f',"seed":{self.gap_ms}' if self.gap_ms else "")).encode()


@dataclass
class Tally:
    """What came of it."""

    requests: int = 0
    tokens: int = 0
    failed: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        found = sorted(self.latencies_s)
        return 1000 * found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")


class Client(asyncio.Protocol):
    """One connection: asks while ``more`` says so, ``pause_s`` after each answer."""

    def __init__(self, shape: Shape, tally: Tally, more: Callable[[], bool], pause_s: float) -> None:
        self._fields = shape.fields()
        self._shape = shape
        self._tally = tally
        self._more = more
        self._pause_s = pause_s
        self._transport: asyncio.Transport | None = None
        self._asked_at = 0.0
        self._tokens = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._tally.failed += 1
            self.ended.set_result(None)

    def request(self, number: int) -> bytes:
        """The bytes of one request."""
        raise NotImplementedError

    def _ask(self) -> None:
        assert self._transport is not None
        if not self._more():
            self.ended.set_result(None)
            self._transport.close()
            return
        self._tokens = 0
        self._asked_at = time.perf_counter()
        self._transport.write(self.request(next(_numbers)))

    def _answered(self, *, well: bool) -> None:
        tally = self._tally
        tally.latencies_s.append(time.perf_counter() - self._asked_at)
        tally.requests += 1
        tally.tokens += self._tokens
        tally.failed += not well
        if self._pause_s:
            asyncio.get_running_loop().call_later(self._pause_s, self._ask)
        else:
            self._ask()


class HttpClient(Client):
    """Chat completions over HTTP, the connection kept."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._parser = httptools.HttpResponseParser(self)
        super().connection_made(transport)

    def request(self, number: int) -> bytes:
        messages = f',"messages":[{{"role":"user","content":"{PROMPT} {number}"}}]}}'
        body = b"{" + self._fields + messages.encode()
        return _HEAD + str(len(body)).encode() + b"\r\n\r\n" + body

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._tokens += body.count(_TOKEN)

    def on_message_complete(self) -> None:
        well = self._parser.get_status_code() == 200 and self._tokens == (self._shape.tokens or 64)
        self._answered(well=well)


class NativeClient(Client):
    """One request after the other as JSON lines; native answers are always streamed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._held = b""
        super().connection_made(transport)

    def request(self, number: int) -> bytes:
        return (
            f'{{"id":1,"key":"{KEY}",'.encode()
            + self._fields
            + f',"messages":[{{"role":"user","content":"{PROMPT} {number}"}}]}}\n'.encode()
        )

    def data_received(self, data: bytes) -> None:
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._tokens += line.count(_TOKEN)
            if b'"done":' in line or b'"error":' in line:
                self._answered(well=b'"done":' in line and self._tokens == self._shape.tokens)


async def drive(
    port: int,
    shape: Shape,
    *,
    connections: int,
    native: bool = False,
    requests: int | None = None,
    seconds: float | None = None,
    pause_s: float = 0.0,
) -> Tally:
    """Ask until so many requests were sent or so long has passed, whichever is given."""
    loop, tally, begin = asyncio.get_running_loop(), Tally(), time.perf_counter()
    left = itertools.count()

    def more() -> bool:
        if requests is not None:
            return next(left) < requests
        return time.perf_counter() - begin < (seconds or 0)

    make = NativeClient if native else HttpClient
    clients: list[Client] = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: make(shape, tally, more, pause_s), "127.0.0.1", port)
        clients.append(client)
    await asyncio.wait([client.ended for client in clients], timeout=GIVE_UP_S)
    tally.seconds = time.perf_counter() - begin
    tally.failed += sum(not client.ended.done() for client in clients)
    return tally
