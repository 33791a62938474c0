"""A native client on a bare socket: lines out, replies in, nothing of our client package in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

ANSWER_S: Final = 30.0
_LINE_MAX_BYTES: Final = 4 << 20

Id = int | str | None


@dataclass
class Answer:
    """What came for one id so far."""

    pieces: list[str] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    """Positions, as told."""
    resumed: list[dict[str, Any]] = field(default_factory=list)
    """Each change of backend, as told."""
    chunks: list[dict[str, Any]] = field(default_factory=list)
    """What is more than text."""
    done: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def ended(self) -> bool:
        return self.done is not None or self.error is not None

    @property
    def code(self) -> str | None:
        """Of its error."""
        return self.error["code"] if self.error is not None else None

    @property
    def backend(self) -> str:
        """Who answered. Raises `AssertionError` if nobody did."""
        assert self.done is not None, self
        return str(self.done["backend"])

    @property
    def cache(self) -> str:
        assert self.done is not None, self
        return str(self.done["cache"])


class Talk:
    """One connection. Replies are read only while something of them is awaited."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.answers: dict[Id, Answer] = {}
        self.closed = False
        """The balancer closed the connection."""

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def ask(self, prompt: str, id: Id = None, **fields: Any) -> Answer:
        """Send a request; the answer fills while the connection is read."""
        self.write(ask_line(prompt, id, **fields))
        return self.expect(id)

    def expect(self, id: Id = None) -> Answer:
        answer = self.answers[id] = Answer()
        return answer

    def cancel(self, id: Id) -> None:
        self.write(json.dumps({"cancel": id}).encode() + b"\n")

    async def until(self, right: Callable[[], object], within_s: float = ANSWER_S) -> None:
        """Read until this holds, or the connection ends."""
        try:
            async with asyncio.timeout(within_s):
                while not right() and not self.closed:
                    self._take(await self._line())
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s; so far: {self.answers}") from None
        assert right() or self.closed

    async def ended(self, *answers: Answer, within_s: float = ANSWER_S) -> None:
        """Each of these has come to its end (or the connection has: then some have none)."""
        await self.until(lambda: all(answer.ended for answer in answers), within_s)

    async def begun(self, *answers: Answer, within_s: float = ANSWER_S) -> None:
        """Some text of each has come."""
        await self.until(lambda: all(answer.pieces for answer in answers), within_s)
        assert all(answer.pieces for answer in answers), answers

    async def hung_up(self, within_s: float = ANSWER_S) -> None:
        """The balancer has closed the connection."""
        await self.until(lambda: self.closed, within_s)
        assert self.closed

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Leave without a word: the kernel sends a reset."""
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()

    async def _line(self) -> bytes:
        """The next; empty at the end, which is a reset where the balancer was still sent something."""
        try:
            return await self.reader.readline()
        except ConnectionResetError:
            return b""

    def _take(self, line: bytes) -> None:
        if not line:
            self.closed = True
            return
        if line.isspace():
            return
        reply = json.loads(line)
        answer = self.answers.setdefault(reply.get("id"), Answer())
        if "text" in reply:
            answer.pieces.append(reply["text"])
        elif "queued" in reply:
            answer.queued.append(reply["queued"]["position"])
        elif "resumed" in reply:
            answer.resumed.append(reply["resumed"])
        elif "chunk" in reply:
            answer.chunks.append(reply["chunk"])
        elif "done" in reply:
            assert not answer.ended, f"a second end: {reply}"
            answer.done = reply["done"]
        elif "error" in reply:
            assert not answer.ended, f"a second end: {reply}"
            answer.error = reply["error"]


def ask_line(prompt: str, id: Id = None, **fields: Any) -> bytes:
    named = {} if id is None else {"id": id}
    return json.dumps({**named, "prompt": prompt, **fields}, ensure_ascii=False).encode() + b"\n"


@asynccontextmanager
async def talk(port: int) -> AsyncIterator[Talk]:
    """A connection to the balancer; closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LINE_MAX_BYTES)
    connection = Talk(reader, writer)
    try:
        yield connection
    finally:
        writer.transport.abort()


async def ask(port: int, prompt: str, within_s: float = ANSWER_S, **fields: Any) -> Answer:
    """One question on a connection of its own, and its end."""
    async with talk(port) as connection:
        answer = connection.ask(prompt, **fields)
        await connection.ended(answer, within_s=within_s)
        return answer


async def check_served(port: int, prompt: str = "still here", within_s: float = ANSWER_S) -> None:
    """The balancer answers a plain question as it should."""
    answer = await ask(port, prompt, within_s)
    assert answer.text == prompt and answer.error is None, answer


def endless(tokens: int) -> dict[str, Any]:
    """Fields that make the echo engine go round until so many tokens are said."""
    return {"max_tokens": tokens, "ignore_eos": True}


def echoed(prompt: str, tokens: int) -> str:
    """What the echo engine says to that, for a prompt of words between single spaces."""
    words = prompt.split()
    return "".join(f" {words[i % len(words)]}" for i in range(tokens))
