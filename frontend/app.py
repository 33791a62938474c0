"""The application: the page, its files, ``/healthz`` and the WebSocket, each under the same strict headers."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

import client
from frontend.bridge import Bridge
from frontend.limits import Limits
from frontend.origins import allowed

log = logging.getLogger(__name__)

STATIC: Final = Path(__file__).parent / "static"

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}
"""Nothing but our own files may run or be loaded, whatever gets into the page."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """Where the balancer is, and the bridge's key there."""

    host: str
    port: int
    key: str | None = None

    async def connect(self) -> client.Client:
        return await client.connect(self.host, self.port, key=self.key)


class _Doorman:
    """Who may open a WebSocket, and how many at once."""

    def __init__(self, balancer: Balancer, origins: Collection[str], limits: Limits) -> None:
        self._balancer = balancer
        self._origins = origins
        self._limits = limits
        self._browsers = 0

    async def __call__(self, socket: WebSocket) -> None:
        headers = socket.headers
        if not allowed(headers.get("origin"), headers.get("host"), self._origins):
            log.warning("a page of a foreign origin was refused")
            await socket.send_denial_response(PlainTextResponse("foreign origin\n", status_code=403))
            return
        if self._browsers >= self._limits.browsers_max:
            log.warning("%d browsers are connected; another was refused", self._browsers)
            await socket.send_denial_response(
                PlainTextResponse("too many browsers\n", status_code=503, headers={"retry-after": "30"})
            )
            return
        self._browsers += 1
        try:
            await socket.accept()
            await Bridge(socket, self._balancer.connect, self._limits).run()
        finally:
            self._browsers -= 1


class _WithHeaders:
    """Puts `HEADERS` on every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _page(request: Request) -> FileResponse:
    return FileResponse(STATIC / "index.html")


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def make_app(balancer: Balancer, *, origins: Collection[str] = (), limits: Limits | None = None) -> ASGIApp:
    """The ASGI application. ``origins`` are let in beside the page served here."""
    doorman = _Doorman(balancer, frozenset(origins), limits or Limits())
    return _WithHeaders(
        Starlette(
            routes=[
                Route("/", _page),
                Route("/healthz", _health),
                WebSocketRoute("/ws", doorman.__call__),
                Mount("/static", StaticFiles(directory=STATIC)),
            ]
        )
    )
