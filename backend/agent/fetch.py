"""One small request to the engine, on a connection of its own: a few hundred bytes a second need no pool."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from balancer.wire import http1
from balancer.wire.errors import RemoteProtocolError

TIMEOUT_S: Final = 2.0
ANSWER_MAX_BYTES: Final = 4 << 20


class EngineSilent(Exception):
    """The engine did not answer, or not in HTTP; the text says how. It may answer later."""


class Answer(NamedTuple):
    status: int
    body: bytes

    @property
    def is_missing(self) -> bool:
        """The engine has no such path."""
        return self.status in (404, 405, 501)

    @property
    def wants_key(self) -> bool:
        return self.status in (401, 403)


def engine_url(text: str) -> SplitResult:
    """The engine's base URL without ``/v1`` at its end. Raises `ValueError`."""
    url = urlsplit(text)
    plain = text.isascii() and text.isprintable() and not (url.query or url.fragment or url.username or " " in text)
    if url.scheme not in ("http", "https") or not url.hostname or not plain or url.port == 0:
        raise ValueError("expected http://HOST:PORT")
    return url._replace(path=url.path.rstrip("/").removesuffix("/v1"))


class EngineHttp:
    """Asks the engine at ``url`` (see `engine_url`), with its API key if there is one."""

    def __init__(self, url: SplitResult, key: str = "") -> None:
        self.url = url
        self._headers = [("connection", "close"), *([("authorization", f"Bearer {key}")] if key else [])]
        self._tls = ssl.create_default_context() if url.scheme == "https" else None

    @property
    def without_key(self) -> EngineHttp:
        """Asks as a balancer will, which has no key for a registered backend."""
        return EngineHttp(self.url) if len(self._headers) > 1 else self

    @property
    def port(self) -> int:
        return self.url.port or (443 if self._tls else 80)

    async def get(self, path: str, timeout_s: float = TIMEOUT_S) -> Answer:
        """Raises `EngineSilent`."""
        return await self._ask("GET", path, b"", timeout_s)

    async def post(self, path: str, body: bytes, timeout_s: float = TIMEOUT_S) -> Answer:
        """Raises `EngineSilent`."""
        return await self._ask("POST", path, body, timeout_s)

    async def _ask(self, method: str, path: str, body: bytes, timeout_s: float) -> Answer:
        request = http1.request(method, self.url.path + path, self.url.netloc, body, self._headers)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError:
            raise EngineSilent(f"{path}: no answer within {timeout_s:g} s") from None
        except (OSError, RemoteProtocolError, UnicodeError) as error:
            raise EngineSilent(f"{path}: {error or type(error).__name__}") from None

    async def _exchange(self, request: bytes) -> Answer:
        reader, writer = await asyncio.open_connection(self.url.hostname, self.port, ssl=self._tls)
        try:
            writer.write(request)
            decoder = http1.ResponseDecoder(ANSWER_MAX_BYTES)
            body = bytearray()
            while not decoder.complete:
                data = await reader.read(1 << 16)
                if not data:
                    if not decoder.ends_at_eof():
                        raise RemoteProtocolError("cut_short", "the engine closed the connection early")
                    break
                body += decoder.feed(data)
            return Answer(decoder.status, bytes(body))
        finally:
            writer.transport.abort()
