"""The clients: carry out a plan against a balancer's port, and note when each answer began and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools
import msgspec

from scripts.bench_routing_parts.live_clock import LiveClock
from scripts.bench_routing_parts.live_engine import MODEL
from scripts.bench_routing_parts.plan import Conversation
from scripts.bench_routing_parts.texts import common_text, text, token_count
from scripts.simulate_parts.request import Ask, Asked

IDLE_MAX = 256
_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    b"accept: text/event-stream\r\ncontent-length: %d\r\n\r\n"
)


class _Details(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int
    prompt_tokens_details: _Details
    first_token_s: float
    """From the request's arrival at the engine, by the model."""


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Event(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None
    system_fingerprint: str | None = None


_events = msgspec.json.Decoder(_Event)


class Clients:
    """A `World`. ``begun`` holds what became of each request; what failed has no end."""

    def __init__(self, port: int, clock: LiveClock, until: float) -> None:
        self.clock = clock
        self.begun: list[Asked] = []
        self.added_s: list[float] = []
        """Times to the first token, less those at the engine."""
        self.running = 0
        self.idle: list[_Connection] = []
        self._port = port
        self._until = until
        self._said: dict[int, list[dict[str, str]]] = {}
        """Messages of each conversation so far, by its number."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._none_runs = asyncio.Event()
        self._none_runs.set()

    def ask(self, conversation: Conversation, turn: int, answered: Callable[[], None]) -> None:
        if self.clock.now >= self._until:
            return
        wanted = conversation.turns[turn]
        messages = self._said.setdefault(conversation.number, _beginning(conversation))
        messages.append({"role": "user", "content": text(f"{conversation.number} {turn}", wanted.prompt_tokens)})
        tokens = sum(token_count(message["content"]) for message in messages)
        asked = Asked(Ask(str(conversation.shared), "", tokens, wanted.answer_tokens), self.clock.now)
        self.begun.append(asked)
        body = {
            "model": MODEL,
            "messages": messages,
            "max_tokens": wanted.answer_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        more = turn + 1 < len(conversation.turns)

        def ended(said: str | None) -> None:
            self.running -= 1
            if said is not None and more:
                messages.append({"role": "assistant", "content": said})
                answered()
            else:
                del self._said[conversation.number]
            if not self.running:
                self._none_runs.set()

        self.running += 1
        self._none_runs.clear()
        self._send(msgspec.json.encode(body), asked, ended)

    async def all_ended(self) -> None:
        """Wait until nothing is under way."""
        await self._none_runs.wait()

    def close(self) -> None:
        """Leave."""
        for connection in self.idle:
            connection.close()

    def _send(self, body: bytes, asked: Asked, ended: Callable[[str | None], None]) -> None:
        if self.idle:
            self.idle.pop().ask(body, asked, ended)
            return
        task = asyncio.get_running_loop().create_task(self._send_anew(body, asked, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_anew(self, body: bytes, asked: Asked, ended: Callable[[str | None], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        except OSError:
            ended(None)
        else:
            connection.ask(body, asked, ended)


def _beginning(conversation: Conversation) -> list[dict[str, str]]:
    content = common_text(f"prefix {conversation.shared}", conversation.shared_tokens)
    return [{"role": "system", "content": content}]


class _Connection(asyncio.Protocol):
    """To the balancer; one request at a time."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._transport: asyncio.Transport | None = None
        self._asked: Asked | None = None
        self._ended: Callable[[str | None], None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._held = b""
        self._said: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self in self._clients.idle:
            self._clients.idle.remove(self)
        self._end(None)

    def ask(self, body: bytes, asked: Asked, ended: Callable[[str | None], None]) -> None:
        self._asked, self._ended = asked, ended
        self._held, self._said = b"", []
        if self._transport is None:
            self._end(None)
        else:
            self._transport.write(_HEAD % len(body) + body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._clients.clock.catch_up()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_begin(self) -> None:
        self._held = b""

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() != 200:
            return
        *events, self._held = (self._held + body).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: {"):
                self._event(_events.decode(event[6:]))

    def on_message_complete(self) -> None:
        well = self._asked is not None and self._asked.backend >= 0 and self._parser.get_status_code() == 200
        if self._transport is not None and self._parser.should_keep_alive() and len(self._clients.idle) < IDLE_MAX:
            self._clients.idle.append(self)
        else:
            self.close()
        self._end("".join(self._said) if well else None)

    def _event(self, event: _Event) -> None:
        asked = self._asked
        if asked is None:
            return
        for choice in event.choices:
            if choice.delta.content:
                self._said.append(choice.delta.content)
                if asked.first_at < 0:
                    asked.first_at = self._clients.clock.now
        if event.usage is not None:
            asked.cached_tokens = event.usage.prompt_tokens_details.cached_tokens
            self._clients.added_s.append(asked.ttft_s - event.usage.first_token_s)
            asked.backend = int((event.system_fingerprint or "-1").rpartition("-")[2])

    def _end(self, said: str | None) -> None:
        asked, ended, self._asked, self._ended = self._asked, self._ended, None, None
        if asked is None or ended is None:
            return
        if said is not None:
            asked.ended_at = self._clients.clock.now
        ended(said)
