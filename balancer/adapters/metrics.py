"""Our counters in the text that Prometheus scrapes: https://prometheus.io/docs/instrumenting/exposition_formats/.

Strategy: a custom collector that reads everything at scrape time, so that a request pays for plain counters only.
Rejected: the library's own Counter and Histogram, whose labels and locks cost several microseconds an observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from balancer.errors import ConfigError
from balancer.exchange.dispatcher import Dispatcher
from balancer.histogram import Histogram
from balancer.meters import Meters

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX: Final = "llm_balancer_"
OPENMETRICS: Final = "application/openmetrics-text"
_DROPPED: Final = "beats_dropped."
_REFUSED: Final = "refused."


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers stand."""

    dispatcher: Dispatcher
    meters: Meters
    agents: Mapping[str, int]
    """Counts of beats and registrations."""
    connections: Callable[[], int]
    dropped_lines: Callable[[], int]
    """Of the access log."""
    version: str


class Exposition:
    """Answers scrapes. Raises `ConfigError` where the library is missing."""

    def __init__(self, sources: Sources) -> None:
        try:
            from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        except ImportError:
            raise ConfigError("prometheus_client is missing: pip install '.[balancer]' in a checkout") from None
        self._registry = CollectorRegistry()
        self._registry.register(Collector(sources))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics where it is accepted, else Prometheus text 0.0.4."""
        from prometheus_client.exposition import choose_encoder

        # Only ever our own words: the library raises on versions that it cannot read.
        encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS in accept else "")
        return encode(self._registry), content_type


class Collector:
    """One reading of everything, as metric families."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is may change, and need not be read to be registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._pool()
        yield from self._cache()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        meters, dispatcher = self._from.meters, self._from.dispatcher
        models, counts = sorted(meters.models.items()), dispatcher.counts
        yield _counter(
            "requests",
            "Requests that ended, by how: completed, cancelled, or the code of the error.",
            ("model", "outcome"),
            (((name, outcome), n) for name, model in models for outcome, n in sorted(model.outcomes.items())),
        )
        yield _counter(
            "tokens_in",
            "Tokens of prompts, as backends counted them.",
            ("model",),
            (((name,), model.tokens_in) for name, model in models),
        )
        yield _counter(
            "tokens_out",
            "Tokens of answers, as backends counted them.",
            ("model",),
            (((name,), model.tokens_out) for name, model in models),
        )
        yield _counter(
            "attempts",
            "What backends were asked, by what came of it: completed, cancelled (by the balancer), failed, busy.",
            ("backend", "outcome"),
            (
                ((name, outcome), n)
                for name, outcomes in sorted(meters.attempts.items())
                for outcome, n in sorted(outcomes.items())
            ),
        )
        for name, help_text in (
            ("resumed", "Answers that another backend went on with."),
            ("fallbacks", "Times that a request went on to the next model of its fallbacks."),
            ("hedges", "Second backends that were asked as the first was late."),
            ("hedges_won", "Of these, those that answered."),
            ("retries", "Requests asked again of another backend."),
            ("retries_refused", "Retries that the budget did not allow."),
            ("attempts_failed", "Attempts that failed, on any backend."),
            ("attempts_busy", "Attempts that met a backend at its limit."),
            ("unauthenticated", "Requests without a valid key."),
        ):
            yield _counter(name, help_text, (), [((), counts[name])])
        yield _histogram(
            "queue_wait_seconds",
            "Time from a request's arrival until it had a slot.",
            {"": meters.queue_wait},
        )
        answers = meters.answers.items()
        yield _histogram(
            "time_to_first_token_seconds",
            "Of completed answers.",
            {source: answer.first_token for source, answer in answers},
            "source",
        )
        yield _histogram(
            "request_duration_seconds",
            "Of completed answers, from arrival to last token.",
            {source: answer.duration for source, answer in answers},
            "source",
        )
        queue = dispatcher.queue
        yield _gauge("queue_requests", "Requests that wait for a slot.", (), [((), len(queue))])
        yield _gauge("queue_bytes", "Size of the prompts that wait.", (), [((), queue.size_bytes)])
        states = dispatcher.count_states().items()
        yield _gauge("exchanges", "Requests under way.", ("state",), [((state,), n) for state, n in states])

    def _pool(self) -> Iterator[Metric]:
        dispatcher, agents = self._from.dispatcher, self._from.agents
        registry, now = dispatcher.registry, dispatcher.clock.time()
        members = sorted(registry.members(), key=lambda member: member.spec.name)
        ledger, breaker = registry.ledger, registry.breaker
        one = ("backend",)
        yield _gauge(
            "backend_in_flight",
            "Requests on a backend.",
            one,
            (((member.spec.name,), ledger.in_flight[member.index]) for member in members),
        )
        yield _gauge(
            "backend_slots",
            "Requests that a backend takes at once.",
            one,
            (((member.spec.name,), ledger.slots[member.index]) for member in members),
        )
        yield _gauge(
            "backend_state",
            "1 for the state that a backend is in: joining, alive, suspect, dead, draining.",
            ("backend", "state"),
            (((member.spec.name, member.state.value), 1) for member in members),
        )
        yield _gauge(
            "backend_breaker",
            "1 for the state of a backend's breaker: closed, open, half_open, ramping.",
            ("backend", "state"),
            (((member.spec.name, breaker.state_of(member.index, now).state), 1) for member in members),
        )
        yield _counter(
            "heartbeats",
            "Heartbeats that counted, by the way they came.",
            ("kind",),
            [((kind,), agents.get("beats_" + kind, 0)) for kind in ("udp", "tcp", "classic")],
        )
        yield _counter("heartbeats_dropped", "Heartbeats that did not count.", ("reason",), _part(agents, _DROPPED))
        yield _counter("registrations", "Backends taken in.", (), [((), agents.get("registrations", 0))])
        yield _counter("registrations_refused", "Backends turned away.", ("code",), _part(agents, _REFUSED))

    def _cache(self) -> Iterator[Metric]:
        cache = self._from.dispatcher.cache
        if cache is None:
            return
        stats = cache.stats()
        results = (*stats["hits"].items(), ("miss", stats["misses"]), ("skip", sum(stats["skips"].values())))
        yield _counter(
            "cache_requests",
            "What the cache had: exact, semantic, miss; skip: it was not asked.",
            ("result",),
            [((result,), n) for result, n in results],
        )
        for name in ("stores", "evictions", "expirations"):
            yield _counter("cache_" + name, f"Entries: {name}.", (), [((), stats[name])])
        yield _counter(
            "cache_reported_wrong", "Entries that somebody called wrong.", (), [((), stats["reported_wrong"])]
        )
        for unit, n in stats["saved"].items():
            yield _counter("cache_saved_" + unit, f"{unit.title()} of backends that hits saved.", (), [((), n)])
        yield _gauge("cache_entries", "Answers in the cache.", (), [((), stats["entries"])])
        yield _gauge("cache_bytes", "Their size.", (), [((), stats["bytes"])])
        if stats["bound"] is not None:
            yield from _bound(stats["bound"])

    def _process(self) -> Iterator[Metric]:
        sources = self._from
        yield _gauge("connections", "Open connections, the admin port's included.", (), [((), sources.connections())])
        yield _histogram(
            "event_loop_lag_seconds",
            "How late the clock tick came.",
            {"": sources.meters.loop_lag},
        )
        yield _counter("access_log_lines_dropped", "Lines that were not written.", (), [((), sources.dropped_lines())])
        yield _gauge("build_info", "Always 1.", ("version",), [((sources.version,), 1)])


Samples = Iterable[tuple[tuple[str, ...], float]]


def _bound(stats: Mapping[str, Any]) -> Iterator[Metric]:
    """What is known of the answers that near questions got."""
    low, high = stats["interval"]
    shares = {"low": low, "estimate": stats["wrong_share"], "high": high}
    known = [((name,), share) for name, share in shares.items() if share is not None]
    yield _gauge("cache_wrong_share", "Of near answers served, with a 95 % interval.", ("bound",), known)
    checks = stats["checks"]["served"].items()
    yield _counter("cache_checks", "Near answers served and checked.", ("found",), [((name,), n) for name, n in checks])
    yield _counter("cache_withheld", "Near answers that the bound held back.", (), [((), stats["withheld"])])


def _counter(name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(PREFIX + name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _gauge(name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(name: str, help_text: str, histograms: Mapping[str, Histogram], label: str = "") -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(PREFIX + name, help_text, labels=(label,) if label else ())
    for value, histogram in histograms.items():
        buckets = [("+Inf" if bound == math.inf else str(bound), count) for bound, count in histogram.cumulative()]
        family.add_metric((value,) if label else (), buckets, histogram.sum)
    return family


def _part(counts: Mapping[str, int], prefix: str) -> list[tuple[tuple[str], int]]:
    """The counters whose names begin so, by the rest of their names."""
    return [((name.removeprefix(prefix),), n) for name, n in sorted(counts.items()) if name.startswith(prefix)]
