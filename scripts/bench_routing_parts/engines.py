"""Modelled engines as a real process: each on a port of its own, OpenAI's chat with streaming, vLLM's metrics page.

    python -m scripts.bench_routing_parts.engines [--slower N] [--balancer HOST:PORT] PORT...

With ``--balancer`` each has an agent that registers it and beats for it.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import random
from collections.abc import Sequence
from typing import cast

import httptools
import msgspec
import uvloop

from backend.agent.agent import Agent
from backend.agent.identity import Identity
from balancer.doors.descriptors import raise_limit
from balancer.wire.control import Model
from scripts.bench_routing_parts.live_clock import LiveClock
from scripts.bench_routing_parts.live_engine import MODEL, TELL_EVERY_S, LiveEngine, Question
from scripts.simulate_parts.engine import SLOTS
from scripts.simulate_parts.request import Asked

_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "vllm", "max_model_len": 131_072}]}
_decoder = msgspec.json.Decoder(Question)


class Connection(asyncio.Protocol):
    """One client; one request after the other."""

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._url = b""
        self._asked: Asked | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._asked is not None:
            self._engine.drop(self._asked)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            assert self._transport is not None
            self._transport.close()

    # --- httptools

    def on_message_begin(self) -> None:
        self._body, self._url = [], b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"POST" and self._url == b"/v1/chat/completions":
            try:
                question = _decoder.decode(b"".join(self._body))
            except msgspec.DecodeError as error:
                self._say(400, msgspec.json.encode({"error": {"message": str(error), "type": "invalid_request_error"}}))
            else:
                self._write(_STREAM)  # at once, as vLLM does: the first token comes later
                self._asked = self._engine.question(question, self)
        elif self._url == b"/health":
            self._say(200, b"")
        elif self._url == b"/v1/models":
            self._say(200, msgspec.json.encode(_MODELS))
        elif self._url == b"/version":
            self._say(200, b'{"version":"0"}')
        elif self._url == b"/metrics":
            self._say(200, self._engine.metrics())
        else:
            self._say(404, b"{}")

    def _say(self, status: int, body: bytes) -> None:
        self._write(
            b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        )
        self._write(body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # --- a reader

    def event(self, content: bytes) -> None:
        self._write(b"%x\r\ndata: %b\n\n\r\n" % (len(content) + 8, content))

    def ended(self) -> None:
        self._asked = None
        self._write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def serve(ports: Sequence[int], slower: float, balancer: tuple[str, int] | None) -> None:
    """Until it is killed."""
    loop, clock = asyncio.get_running_loop(), LiveClock(slower)
    engines = [LiveEngine(clock, f"engine-{number}") for number in range(len(ports))]

    def tell() -> None:
        clock.after(TELL_EVERY_S, tell)
        for engine in engines:
            engine.tell()

    tell()
    for engine, port in zip(engines, ports, strict=True):
        await loop.create_server(functools.partial(Connection, engine), "127.0.0.1", port, backlog=4096)
        if balancer is not None:
            _agent(engine, port, balancer).start()
    await asyncio.Event().wait()


def _agent(engine: LiveEngine, port: int, balancer: tuple[str, int]) -> Agent:
    identity = Identity(
        name=engine.name,
        instance=str(port),
        url=None,
        port=port,
        slots=SLOTS,
        weight=1.0,
        version="",
        engine="vllm",
        models=(Model(MODEL),),
        endpoints=("chat",),
    )
    return Agent([balancer], identity, token=b"", load=engine.beat, rng=random.Random(port))


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ports", nargs="+", type=int, metavar="PORT")
    parser.add_argument("--slower", type=float, default=1.0)
    parser.add_argument("--balancer", metavar="HOST:PORT")
    options = parser.parse_args()
    raise_limit()
    host, _, port = (options.balancer or "").rpartition(":")
    uvloop.run(serve(options.ports, options.slower, (host, int(port)) if host else None))


if __name__ == "__main__":
    main()
