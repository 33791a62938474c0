"""The client without asyncio: a plain socket, no thread, no event loop.

The socket is read while some answer of the connection is being read, and at no other time; what arrives for the
other answers meanwhile is kept for them, within their bounds.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any, Final

from client.answer import CANCEL_WAIT_S, AnswerView
from client.connection import CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S, Prompt, body_of, reason
from client.errors import CannotConnect, ClientError, ConnectionLost
from client.events import Event, Text
from client.exchange import BUFFER_MAX_BYTES, Exchange
from client.session import Session

_READ_BYTES: Final = 64 << 10


class BlockingClient:
    """A connection for one thread. `connect_sync` makes one."""

    def __init__(
        self, sock: socket.socket, *, key: str | None, silence_timeout_s: float, buffer_max_bytes: int
    ) -> None:
        self._socket = sock
        self._session = Session(key=key, buffer_max_bytes=buffer_max_bytes)
        self._silence_timeout_s = silence_timeout_s

    @property
    def connected(self) -> bool:
        """Whether another `ask` makes sense; looks at the socket, without waiting."""
        if self._session.failure is None:
            self._pump(0.0)
        return self._session.failure is None

    def ask(
        self,
        prompt: Prompt,
        *,
        cache: str | None = None,
        deadline_s: float | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> BlockingAnswer:
        """Ask, and read the answer from what is returned; arguments and errors as in `client.connection.Client.ask`."""
        exchange = self._session.ask(
            body_of(prompt, fields), now=time.monotonic(), cache=cache, deadline_s=deadline_s, key=key
        )
        self._flush()
        return BlockingAnswer(exchange, self)

    def wrong(self, entry: str, *, key: str | None = None) -> None:
        """As `client.connection.Client.wrong`."""
        self._session.wrong(entry, key)
        self._flush()

    def close(self) -> None:
        """Close the connection; answers in flight end with `ConnectionLost`."""
        self._session.lost(ConnectionLost("the connection was closed", code="closed"), time.monotonic())
        self._socket.close()

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pump(self, timeout_s: float | None = None) -> None:
        """Wait for bytes and take them in; 0 doesn't wait. What goes wrong becomes the outcome of every answer."""
        timeout_s = self._silence_timeout_s if timeout_s is None else timeout_s
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            pass  # only with a timeout of 0: nothing has arrived
        except TimeoutError:
            self._lose(ConnectionLost(f"the balancer said nothing for {timeout_s:g} s", code="silence"))
        except OSError as error:
            self._lose(ConnectionLost(f"the connection broke: {reason(error)}"))
        else:
            if data:
                self._session.receive(data, time.monotonic())
                self._flush()
                if self._session.failure is not None:
                    self._socket.close()
            else:
                self._lose(ConnectionLost("the balancer closed the connection"))

    def _cancel(self, exchange: Exchange) -> None:
        self._session.cancel(exchange)
        self._flush()

    def _flush(self) -> None:
        data = self._session.bytes_to_send()
        if data and self._session.failure is None:
            try:
                self._socket.settimeout(self._silence_timeout_s)
                self._socket.sendall(data)
            except OSError as error:
                self._lose(ConnectionLost(f"the connection broke: {reason(error)}"))

    def _lose(self, error: ConnectionLost) -> None:
        self._session.lost(error, time.monotonic())
        self._socket.close()


class BlockingAnswer(AnswerView):
    """Iterate it for text pieces, or `events` for everything; read it once. Leaving the loop early cancels."""

    def __init__(self, exchange: Exchange, client: BlockingClient) -> None:
        super().__init__(exchange, time.monotonic)
        self._client = client

    def __iter__(self) -> Iterator[str]:
        for event in self.events():
            if isinstance(event, Text):
                yield event.text

    def events(self) -> Generator[Event, None, None]:
        """Text, queue positions, resumes and chunks in order. Ends at `done`, raises the error it failed with."""
        exchange = self._exchange
        try:
            while True:
                event = exchange.take()
                if event is not None:
                    yield event
                elif exchange.outcome is not None:
                    break
                else:
                    self._client._pump()
        finally:
            if exchange.outcome is None:
                self._client._cancel(exchange)
        if isinstance(exchange.outcome, ClientError):
            raise exchange.outcome

    def read(self) -> str:
        """The whole text, once it is complete."""
        for _ in self.events():
            pass
        return self.text

    def cancel(self) -> None:
        """Stop it and wait until the balancer says so; without an answer in `CANCEL_WAIT_S` the connection is lost."""
        if self._exchange.outcome is None:
            self._client._cancel(self._exchange)
        deadline_s = time.monotonic() + CANCEL_WAIT_S
        while self._exchange.outcome is None:
            left_s = deadline_s - time.monotonic()
            if left_s > 0:
                self._client._pump(left_s)
            else:
                self._client._lose(ConnectionLost("the balancer did not confirm the cancel"))

    def __enter__(self) -> BlockingAnswer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.ended:
            self._client._cancel(self._exchange)


def connect_sync(
    host: str = "127.0.0.1",
    port: int = 1234,
    *,
    key: str | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    silence_timeout_s: float = SILENCE_TIMEOUT_S,
    buffer_max_bytes: int = BUFFER_MAX_BYTES,
) -> BlockingClient:
    """Connect to a balancer's native door without asyncio; arguments and errors as in `client.connect`."""
    try:
        sock = socket.create_connection((host, port), connect_timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError:
        raise CannotConnect(f"no balancer at {host}:{port}: no answer in {connect_timeout_s:g} s") from None
    except (OSError, UnicodeError) as error:
        raise CannotConnect(f"no balancer at {host}:{port}: {reason(error)}") from None
    return BlockingClient(sock, key=key, silence_timeout_s=silence_timeout_s, buffer_max_bytes=buffer_max_bytes)
