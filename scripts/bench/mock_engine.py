"""A fast engine that only pretends: OpenAI chat, streaming and not, on uvloop and httptools.

    python -m scripts.bench.mock_engine PORT

The request says what it gets: ``max_tokens`` tokens (default 64), one each ``seed`` milliseconds (default 0: as fast as
the loop turns, one write a token). A field of its own for that would not come through sglang's router.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

import httptools
import msgspec
import uvloop

MODEL = "mock"
TOKEN = "word "
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Ask(msgspec.Struct):
    """What of a request matters here."""

    stream: bool = False
    max_tokens: int = 64
    max_completion_tokens: int = 0
    """What sglang's router makes of ``max_tokens``."""
    seed: int = 0
    """Milliseconds between tokens."""


_ask_decoder = msgspec.json.Decoder(Ask)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(**choice: Any) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": MODEL}
    return _chunk(b"data: " + json.dumps({**chunk, "choices": [{"index": 0, **choice}]}).encode() + b"\n\n")


def _whole(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content)
    return head + content


TOKEN_EVENT = _event(delta={"content": TOKEN}, finish_reason=None)
END = _event(delta={}, finish_reason="stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
ANSWER = _whole(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": 64 * TOKEN}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 64, "total_tokens": 76},
    }
)
_MODELS = _whole({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


class Engine(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None
        if self._parser.get_method() == b"GET":
            self._transport.write(_MODELS)
            return
        ask = _ask_decoder.decode(self._body)
        if ask.stream:
            self._transport.write(HEAD)
            self._next(ask.max_completion_tokens or ask.max_tokens, ask.seed / 1000)
        else:
            self._transport.write(ANSWER)

    def _next(self, left: int, gap_s: float) -> None:
        if self._transport is None:
            return
        if left == 0:
            self._transport.write(END)
            return
        self._transport.write(TOKEN_EVENT)
        loop = asyncio.get_running_loop()
        if gap_s:
            loop.call_later(gap_s, self._next, left - 1, gap_s)
        else:
            loop.call_soon(self._next, left - 1, gap_s)


async def serve(port: int) -> None:
    """Until it is killed."""
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
