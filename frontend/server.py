"""uvicorn, configured: our bounded protocols, no compression, no access log, an end that exits 0."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from frontend.http1 import BoundedHttp
from frontend.limits import GRACE_S, HEAD_MAX_BYTES, PING_INTERVAL_S, Limits
from frontend.websocket import BoundedWebSocket

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Ends with exit code 0 on SIGTERM or SIGINT; uvicorn's own sends itself the signal again.

    ``ready`` is called once it answers, and minds signals.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def end(number: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit and number == signal.SIGINT
            self.should_exit = True

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(app: ASGIApp, limits: Limits, ready: Callable[[], object]) -> Server:
    """A server for ``app``, not yet listening; ``ready`` is called once it is up."""
    for name in ("uvicorn.error", "websockets"):
        # Below warnings these log what browsers send: paths with their queries, frames.
        logging.getLogger(name).setLevel(logging.WARNING)
    return Server(
        uvicorn.Config(
            app,
            http=BoundedHttp,
            ws=BoundedWebSocket,
            ws_max_size=limits.message_max_bytes,
            ws_per_message_deflate=False,  # a few bytes that become gigabytes, for a few bytes saved
            ws_ping_interval=PING_INTERVAL_S,
            ws_ping_timeout=PING_INTERVAL_S,
            h11_max_incomplete_event_size=HEAD_MAX_BYTES,
            limit_concurrency=2 * limits.browsers_max + 100,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        ),
        ready,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=256)
