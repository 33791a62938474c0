"""Who keeps count of the requests: the counters, the access log, the text that a scrape reads; put together here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from balancer.accesslog import AccessLog
from balancer.adapters.metrics import Exposition, Sources
from balancer.exchange.dispatcher import Dispatcher
from balancer.linefile import LineFile
from balancer.meters import Meters


class Telemetry:
    """Listens to a dispatcher. ``access_log``: a file's name, ``-`` for standard output, ``None`` for no such log.

    ``own_models`` are offered by no backend of the pool. Raises `ConfigError`: the file cannot be written.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        agents: Mapping[str, int],
        connections: Callable[[], int],
        version: str,
        tick_s: float,
        access_log: str | None = None,
        as_json: bool = False,
        own_models: Collection[str] = (),
    ) -> None:
        registry, clock = dispatcher.registry, dispatcher.clock
        self.meters = Meters(
            lambda model: model in own_models or registry.model_seen(model, clock.time()),
            lambda backend: registry.named(backend) is not None,
        )
        self.access_log = AccessLog(LineFile(access_log), time.time, as_json=as_json) if access_log else None
        self._clock = clock
        self._tick_s = tick_s
        self._exposition = Exposition(
            Sources(dispatcher, self.meters, agents, connections, lambda: self._dropped_lines, version)
        )
        dispatcher.observers.append(self.meters.observe)
        dispatcher.attempt_observers.append(self.meters.attempt_failed)
        if self.access_log is not None:
            dispatcher.observers.append(self.access_log.observe)

    @property
    def _dropped_lines(self) -> int:
        return self.access_log.dropped_lines if self.access_log is not None else 0

    def advance(self, now: float) -> None:
        """Every tick."""
        self.meters.ticked(now, self._tick_s)
        if self.access_log is not None:
            self.access_log.flush(now)

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """All metrics as text, and its content type; ``accept`` as the client sent it."""
        return self._exposition.text(accept)

    def reopen(self) -> None:
        """The access log's file may have been moved away."""
        if self.access_log is not None:
            self.access_log.reopen()

    def close(self) -> None:
        """Write what is left of the access log; waits for it up to two seconds."""
        if self.access_log is not None:
            self.access_log.close(self._clock.time())
