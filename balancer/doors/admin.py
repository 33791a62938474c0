"""The admin port: what the daemon does, and the few things an operator may do to it. JSON over HTTP, loopback.

``GET /status``, ``GET /metrics`` (Prometheus text), ``POST /drain/NAME`` (``?undo=1`` takes it back),
``POST /cache/...`` (`balancer.doors.cache_routes`), ``GET /backends`` (that part of the status), ``POST /backends``,
``DELETE /backends/NAME``, ``POST /reload``,
``POST /explain`` (where a request would go),
and what orchestrators ask (``/readyz``): this port answers them to the last, while the public one closes.
A request with an ``Origin``, or for a ``Host`` that is a name other than localhost, comes from a web page (or from a
name that was made to point here), and no page has any business on this port: it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from balancer.compiled import is_compiled
from balancer.doors.addresses import parse_ip
from balancer.doors.agents import Agents
from balancer.doors.answer import Answer, Pending, error_answer
from balancer.doors.cache_routes import CacheRoutes
from balancer.doors.changes import OperatorChanges
from balancer.doors.clients import Clients
from balancer.doors.explaining import explained
from balancer.doors.health import Health
from balancer.doors.http import HttpConnection
from balancer.exchange.dispatcher import Dispatcher
from balancer.pool.backend import State
from balancer.pool.member import Member
from balancer.wire.http1 import HttpRequest


class AdminDoor:
    """What the admin port answers."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        agents: Agents,
        clients: Clients,
        version: str,
        metrics: Callable[[str], tuple[bytes, str]] | None = None,
        *,
        health: Health,
        changes: OperatorChanges,
    ) -> None:
        """``metrics``: the text of all metrics and its type, for what a scraper accepts."""
        self._dispatcher = dispatcher
        self._agents = agents
        self._clients = clients
        self._version = version
        self._metrics = metrics
        self._health = health
        self._changes = changes
        self._cache = CacheRoutes(dispatcher)

    def answer(self, request: HttpRequest, connection: HttpConnection) -> Answer | Pending:
        """One request: its answer, or who is making it."""
        if (found := self._health.answer(request.path)) is not None:
            return Answer(*found) if request.method in ("GET", "HEAD") else _takes("GET")
        if b"origin" in request.headers or not _is_address(request.headers.get(b"host", b"")):
            return error_answer(403, "the admin port does not answer web pages", "forbidden")
        path = request.path.rstrip("/")
        reads = request.method in ("GET", "HEAD")
        query = {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        if path == "/status":
            return _json(self.status()) if reads else _takes("GET")
        if path == "/metrics" and self._metrics is not None:
            return self._scraped(request.headers.get(b"accept", b"")) if reads else _takes("GET")
        if path.startswith("/drain/"):
            return _takes("POST") if reads else self._drain(unquote(path.removeprefix("/drain/")), "undo" in query)
        if path.startswith("/cache/"):
            return _takes("POST") if reads else self._cache.answer(unquote(path), query, request.body, connection)
        if path == "/backends":
            if reads:
                return _json({"backends": self._backends()})
            return _takes("GET, POST") if request.method != "POST" else self._changes.add(request.body, connection)
        if path.startswith("/backends/"):
            name = unquote(path.removeprefix("/backends/"))
            return _takes("DELETE") if request.method != "DELETE" else self._changes.remove(name)
        if path == "/reload":
            return _takes("POST") if request.method != "POST" else self._changes.reload(connection)
        if path == "/explain":
            return _takes("POST") if request.method != "POST" else explained(self._dispatcher, request.body)
        known = "/status, /metrics, /drain/NAME, /cache/..., /backends, /backends/NAME, /reload or /explain"
        return error_answer(404, f"expected {known}", "not_found")

    def status(self) -> dict[str, Any]:
        """The whole state, for people and programs."""
        dispatcher = self._dispatcher
        return {
            "version": self._version,
            "compiled": is_compiled(),
            "uptime_s": round(dispatcher.uptime_s, 1),
            "stopping": dispatcher.stopping,
            "backends": self._backends(),
            "queue": {"waiting": len(dispatcher.queue), "bytes": dispatcher.queue.size_bytes},
            "exchanges": dispatcher.count_states(),
            "clients": self._clients.connections,
            "cache": dispatcher.cache.stats() if dispatcher.cache is not None else None,
            "counts": dict(sorted(dispatcher.counts.items())),
            "agents": dict(sorted(self._agents.counts.items())),
        }

    def _backends(self) -> list[dict[str, Any]]:
        registry, now = self._dispatcher.registry, self._dispatcher.clock.time()
        return [
            {
                **_backend(member, now),
                "reason": _reason(member, self._changes.trouble(member.spec.name)),
                "in_flight": registry.ledger.in_flight[member.index],
                "breaker": registry.breaker.state_of(member.index, now)._asdict(),
            }
            for member in sorted(registry.members(), key=lambda member: member.spec.name)
        ]

    def _scraped(self, accept: bytes) -> Answer:
        assert self._metrics is not None
        text, content_type = self._metrics(accept.decode("latin-1"))
        return Answer(200, text, (("content-type", content_type),))

    def _drain(self, name: str, undo: bool) -> Answer:
        try:
            self._agents.drain_by_operator(name, not undo)
        except KeyError:
            return error_answer(404, f"there is no backend {name!r}", "no_such_backend")
        return _json({"backend": name, "draining": not undo})


def _backend(member: Member, now: float) -> dict[str, Any]:
    spec, load = member.spec, member.load
    return {
        "name": spec.name,
        "kind": spec.kind,
        "address": f"{spec.host}:{spec.port}",
        "state": member.state.value,
        "models": [model.name for model in spec.models],
        "endpoints": sorted(spec.endpoints),
        "engine": spec.engine,
        "version": spec.version,
        "slots": spec.slots,
        "weight": spec.weight,
        "labels": dict(spec.labels),
        "lease": member.lease_id,
        "beats": member.beats,
        "heard_ms_ago": round((now - member.heard_at) * 1000) if member.beats else None,
        "registered_s_ago": round(now - member.registered_at, 1),
        "load": asdict(load) if load is not None else None,
    }


def _reason(member: Member, trouble: str | None) -> str | None:
    """What an operator should know of it, above all if it is not alive; ``trouble`` is how its last probe failed."""
    match member.state:
        case State.ALIVE | State.DRAINING:
            return trouble
        case State.JOINING:
            return trouble or ("not ready" if member.beats else "not heard yet")
        case _:
            return trouble or "silent"


def _is_address(host: bytes) -> bool:
    """Whether a ``Host`` is localhost or an IP address, as it is for whoever knows where the port is."""
    try:
        name = urlsplit(f"//{host.decode('latin-1')}").hostname if host else "localhost"
        return name == "localhost" or bool(parse_ip(name or ""))
    except ValueError:
        return False


def _json(value: object) -> Answer:
    return Answer(200, msgspec.json.encode(value))


def _takes(method: str) -> Answer:
    return error_answer(405, f"this takes {method}", "method_not_allowed", (("allow", method),))
