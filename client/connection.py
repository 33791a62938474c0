"""One asyncio connection to a balancer, with many answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, cast

from client.answer import Answer
from client.errors import CannotConnect, ClientError, ConnectionLost, TooManyInFlight
from client.exchange import BUFFER_MAX_BYTES, Exchange
from client.session import Session

CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 180.0
"""The balancer says something (a piece, a blank line) long before: its own deadlines for tokens are shorter."""

UNSENT_MAX_BYTES: Final = 8 << 20
"""Requests that the balancer has not read yet; more is refused here."""

_CLOSE_WAIT_S: Final = 2.0

Prompt = str | Sequence[Mapping[str, Any]]
"""A prompt, or the messages of a conversation in OpenAI's form."""


def body_of(prompt: Prompt, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request's body: ``prompt`` or ``messages``, and any OpenAI field that is not ``None``."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"prompt": prompt, **given} if isinstance(prompt, str) else {"messages": list(prompt), **given}


class Client(asyncio.Protocol):
    """A connection. `connect` makes one; `ask` may be called any number of times without waiting between."""

    def __init__(self, *, key: str | None, buffer_max_bytes: int, silence_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = Session(key=key, buffer_max_bytes=buffer_max_bytes)
        self._silence_timeout_s = silence_timeout_s
        self._answers: dict[Exchange, Answer] = {}
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self._heard_s = self._loop.time()
        self._silence: asyncio.TimerHandle | None = None
        self._closed = self._loop.create_future()

    @property
    def connected(self) -> bool:
        """Whether another `ask` makes sense. A lost connection stays lost: make a new one."""
        return self._session.failure is None

    def ask(
        self,
        prompt: Prompt,
        *,
        cache: str | None = None,
        deadline_s: float | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Answer:
        """Ask, and read the answer from what is returned.

        ``prompt`` is text or a list of messages; ``fields`` are OpenAI's (``model``, ``max_tokens``, ``temperature``,
        ``stop``, ``seed``, ...). ``cache``: ``default``, ``bypass``, ``only`` or ``refresh``. ``deadline_s``: all of
        it, the queue included, within so many seconds.

        Raises `ConnectionLost`, `TooManyInFlight` or `BadRequest` at once; what the balancer says is raised while
        the answer is read.
        """
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            raise TooManyInFlight(f"{UNSENT_MAX_BYTES} bytes of requests wait to be sent")
        if self._session.in_flight == 0:
            self._heard_s = self._loop.time()
        exchange = self._session.ask(
            body_of(prompt, fields), now=self._loop.time(), cache=cache, deadline_s=deadline_s, key=key
        )
        answer = Answer(exchange, self._loop.time, self._flush, self._cancel, self._forget)
        self._answers[exchange] = answer
        self._flush()
        if self._silence is None:
            self._silence = self._loop.call_later(self._silence_timeout_s, self._check_silence)
        return answer

    def wrong(self, entry: str, *, key: str | None = None) -> None:
        """Say that the cache entry of an answer (`client.events.Done.entry`) was wrong for its question.

        The balancer forgets it and never gives it to that question again. Raises `ConnectionLost`.
        """
        self._session.wrong(entry, key)
        self._flush()

    async def aclose(self) -> None:
        """Close the connection; answers in flight end with `ConnectionLost`."""
        self._lose(ConnectionLost("the connection was closed", code="closed"))
        try:
            async with asyncio.timeout(_CLOSE_WAIT_S):
                await asyncio.shield(self._closed)
        except TimeoutError:
            if self._transport is not None:
                self._transport.abort()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._wake(self._session.receive(data, self._heard_s))
        self._flush()

    def eof_received(self) -> bool:
        self._lose(ConnectionLost("the balancer closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(ConnectionLost(f"the connection broke: {exc}" if exc else "the balancer closed the connection"))
        if not self._closed.done():
            self._closed.set_result(None)

    # --- between session and transport

    def _flush(self) -> None:
        """Send what is to be sent; read the socket or not, as the session's buffers allow; close when it failed."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        data = self._session.bytes_to_send()
        if data:
            transport.write(data)
        if self._session.failure is not None:
            transport.close()
        elif self._reading == self._session.congested:
            self._reading = not self._reading
            self._heard_s = self._loop.time()
            (transport.resume_reading if self._reading else transport.pause_reading)()

    def _cancel(self, exchange: Exchange) -> None:
        self._session.cancel(exchange)
        self._flush()

    def _forget(self, exchange: Exchange, error: ClientError) -> None:
        self._session.forget(exchange, error, self._loop.time())
        self._wake({exchange})
        self._flush()

    def _lose(self, error: ConnectionLost) -> None:
        self._wake(self._session.lost(error, self._loop.time()))
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        self._flush()

    def _wake(self, changed: set[Exchange]) -> None:
        for exchange in changed:
            answer = self._answers.get(exchange) if exchange.outcome is None else self._answers.pop(exchange, None)
            if answer is not None:
                answer.wake()

    def _check_silence(self) -> None:
        self._silence = None
        if self._session.in_flight == 0:
            return
        silent_s = self._loop.time() - self._heard_s if self._reading else 0.0
        if silent_s >= self._silence_timeout_s:
            self._lose(ConnectionLost(f"the balancer said nothing for {silent_s:.0f} s", code="silence"))
            return
        self._silence = self._loop.call_later(self._silence_timeout_s - silent_s, self._check_silence)


class Connecting:
    """A connection that is being made: ``async with`` it, or ``await`` it and call `Client.aclose`."""

    def __init__(
        self, host: str, port: int, key: str | None, timeout_s: float, buffer_max_bytes: int, silence_timeout_s: float
    ) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._options = {"buffer_max_bytes": buffer_max_bytes, "silence_timeout_s": silence_timeout_s}
        self._key = key
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _connect(self) -> Client:
        host, port = self._address
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                _, client = await loop.create_connection(
                    lambda: Client(key=self._key, **self._options),  # type: ignore[arg-type]
                    host,
                    port,
                )
        except TimeoutError:
            raise CannotConnect(f"no balancer at {host}:{port}: no answer in {self._timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:
            raise CannotConnect(f"no balancer at {host}:{port}: {reason(error)}") from None
        return client


def reason(error: BaseException) -> str:
    """Why a connection could not be made, in few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def connect(
    host: str = "127.0.0.1",
    port: int = 1234,
    *,
    key: str | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    silence_timeout_s: float = SILENCE_TIMEOUT_S,
    buffer_max_bytes: int = BUFFER_MAX_BYTES,
) -> Connecting:
    """Connect to a balancer's native door.

    ``key`` goes with every request. Raises `CannotConnect`. ``buffer_max_bytes`` bounds what is kept of an answer
    that nobody reads (`client.session` says what happens then).
    """
    return Connecting(host, port, key, connect_timeout_s, buffer_max_bytes, silence_timeout_s)
