"""What orchestrators and load balancers in front ask: is the process up, and should traffic come here?"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from balancer.admission.aliases import ModelRules
from balancer.exchange.dispatcher import Dispatcher
from balancer.pool.backend import State

PATHS = frozenset({"/livez", "/readyz", "/healthz", "/health"})
"""Whoever reaches the port may ask these: probes have no keys."""
_SERVING = (State.ALIVE, State.SUSPECT)


class Health:
    """Answers for ``/livez``, ``/readyz`` and ``/healthz`` (``/health``), and the models there are."""

    def __init__(self, dispatcher: Dispatcher, started_at: int) -> None:
        self._dispatcher = dispatcher
        self.started_at = started_at
        """Unix seconds."""

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """Status and body, or ``None`` for another path.

        ``/livez``: the process answers, 200. ``/readyz``: 200 if a request could be served, else 503; it fails first
        when the daemon stops. ``/healthz`` and ``/health`` tell both, with numbers.
        """
        if path == "/livez":
            return 200, b'{"status":"ok"}'
        if path not in ("/readyz", "/healthz", "/health"):
            return None
        backends = self._dispatcher.registry.view.backends
        serving = sum(backend.state in _SERVING and bool(backend.spec.models) for backend in backends)
        stopping = self._dispatcher.stopping
        status = "stopping" if stopping else "ok" if serving else "no_backend"
        body = msgspec.json.encode({"status": status, "backends": serving, "active": self._dispatcher.active})
        ready = status == "ok"
        return (200 if ready or (path != "/readyz" and not stopping) else 503), body

    def models(self) -> dict[str, int | None]:
        """Offered models and the shortest context length that any backend offers them with."""
        found: dict[str, int | None] = {}
        for backend in self._dispatcher.registry.view.backends:
            if backend.state not in _SERVING:
                continue
            for model in backend.spec.models:
                lengths = [n for n in (found.get(model.name), model.context_length) if n is not None]
                found[model.name] = min(lengths, default=None)
        rules = self._dispatcher.rules
        return found if rules is None else {**found, **_named(rules, found)}


def _named(rules: ModelRules, found: Mapping[str, int | None]) -> dict[str, int | None]:
    """The names that mean a model which is offered, each with the shortest context length of those."""
    meant = {name: [arm for arm in rules.meanings(name) if arm in found] for name in rules.by_name}
    return {
        name: min((length for arm in arms if (length := found[arm]) is not None), default=None)
        for name, arms in meant.items()
        if arms
    }
