"""uvicorn's HTTP protocol with the deadline it lacks: a peer that sends its head byte by byte, or nothing, is cut."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from frontend.limits import HTTP_LIFETIME_S


class BoundedHttp(H11Protocol):
    """Serves a connection for `HTTP_LIFETIME_S` in all, unless it becomes a WebSocket."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._lifetime = self.loop.call_later(HTTP_LIFETIME_S, self._over)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lifetime.cancel()
        super().connection_lost(exc)

    def _over(self) -> None:
        if self.transport.get_protocol() is self:
            self.transport.abort()
