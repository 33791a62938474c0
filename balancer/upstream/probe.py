"""Health of backends that do not register: asked every two seconds, out after three failures in a row.

``GET /health`` where the engine has it, else ``GET /v1/models``, which also says what it offers. Providers over
HTTPS are not probed: what they charge for and limit is requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.upstream.connection import Address, Connection, ConnectionPool
from balancer.wire import http1, openai

log = logging.getLogger("balancer.upstream")

PROBE_INTERVAL_S = 2.0
PROBE_TIMEOUT_S = 2.0
MODELS_INTERVAL_S = 30.0
UPSTREAM_SLOTS = 256
_BODY_MAX_BYTES = 1 << 20


class ProbeError(Exception):
    """The engine did not answer as a healthy one does; the text says how."""


async def upstream_spec(url: str) -> BackendSpec:
    """A backend from ``--upstream URL``; its models are not known yet. Raises `ValueError` or `OSError`."""
    parts = urlsplit(url)
    plain = not (parts.query or parts.fragment or parts.username) and url.isascii() and url.isprintable()
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or " " in url:
        raise ValueError("expected http://HOST:PORT")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=1)
    path_prefix = parts.path.rstrip("/").removesuffix("/v1")
    return BackendSpec(
        name=parts.netloc + path_prefix,
        kind="upstream",
        host=str(found[0][4][0]),
        port=port,
        tls=tls,
        path_prefix=path_prefix,
        host_header=parts.netloc,
        models=(),
        endpoints=frozenset({"chat", "completions"}),
        slots=UPSTREAM_SLOTS,
    )


class Prober:
    """Watches one upstream. ``offers`` is told its models when they change, ``verdict`` the outcome of each probe."""

    def __init__(
        self,
        spec: BackendSpec,
        pool: ConnectionPool,
        offers: Callable[[BackendSpec], None],
        verdict: Callable[[bool], None],
    ) -> None:
        self._spec = spec
        self._pool = pool
        self._offers = offers
        self._verdict = verdict
        self._models_at: float | None = None
        self._has_health = True

    async def run(self) -> None:
        """Probe for ever."""
        complained = False
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._probe(began)
            except (ProbeError, TimeoutError, ValueError) as error:
                if not complained:
                    log.warning("upstream %s: %s", self._spec.name, error or "no answer in time")
                complained = True
                self._verdict(False)
            else:
                complained = False
                self._verdict(True)
            spent = asyncio.get_running_loop().time() - began
            interval_s = MODELS_INTERVAL_S if self._spec.tls else PROBE_INTERVAL_S  # a provider only for its models
            await asyncio.sleep(max(0.0, interval_s - spent))

    async def _probe(self, now: float) -> None:
        if self._models_at is None or now - self._models_at >= MODELS_INTERVAL_S:
            models = openai.models_in(await self._get("/v1/models"))
            self._models_at = now
            spec = replace(self._spec, models=tuple(ModelInfo(*item) for item in sorted(models.items())))
            if spec != self._spec:
                self._spec = spec
                self._offers(spec)
        elif self._has_health:
            try:
                await self._get("/health")
            except _NotThere:
                self._has_health = False
        else:
            await self._get("/v1/models")

    async def _get(self, path: str) -> bytes:
        spec = self._spec
        server_name = (urlsplit(f"//{spec.host_header}").hostname or "") if spec.tls else ""
        address = Address(spec.host, spec.port, spec.tls, server_name)
        request = http1.request("GET", spec.path_prefix + path, spec.host_header, b"")
        fetch = _Fetch(self._pool, address, request, asyncio.get_running_loop().create_future())
        fetch.start()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                status, body = await fetch.answer
        finally:
            fetch.abandon()
        if status in (404, 405, 501):
            raise _NotThere(f"{path} answered {status}")
        if status != 200:
            raise ProbeError(f"{path} answered {status}")
        return body


class _NotThere(ProbeError):
    pass


class _Fetch:
    """The user of a connection for one small GET."""

    def __init__(
        self, pool: ConnectionPool, address: Address, request: bytes, answer: asyncio.Future[tuple[int, bytes]]
    ) -> None:
        self.answer = answer
        self._pool = pool
        self._address = address
        self._request = request
        self._body = b""
        self._connection: Connection | None = None

    def start(self) -> None:
        connection = self._pool.acquire(self._address, self)
        if connection is not None:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        if self.answer.done():
            connection.abort()
            return
        self._connection = connection
        connection.use(self, self._request)

    def unreachable(self, why: str) -> None:
        self._fail(why)

    def received(self, body: bytes) -> None:
        assert self._connection is not None
        self._body += body
        if len(self._body) > _BODY_MAX_BYTES:
            self._fail("a health answer of more than a megabyte")
        elif self._connection.answer.complete and not self.answer.done():
            connection, self._connection = self._connection, None
            self.answer.set_result((connection.answer.status, self._body))
            connection.release()

    def lost(self, why: str, *, unused: bool) -> None:
        self._connection = None
        if unused and not self.answer.done():
            # The engine had closed this idle connection: that says nothing of its health.
            self._pool.acquire(self._address, self, fresh=True)
        else:
            self._fail(why)

    def abandon(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _fail(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ProbeError(why))
