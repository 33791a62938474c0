"""The cache's embedder as a model that clients can ask for embeddings.

It is a pool of its own with one backend, so that queue, deadlines, cancellation and records are those of any request,
while the pool of the operator's backends knows nothing of it. Few requests are with the embedder at a time: the
lookups of the cache come first there, and a batch of clients' texts is over soon.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from balancer.admission.models import resolve_model
from balancer.admission.queue import WaitQueue
from balancer.errors import Failure, no_backend
from balancer.exchange.dispatcher import Dispatcher
from balancer.pool.backend import CLASSIC_MODEL, BackendSpec, ModelInfo
from balancer.pool.detector import PASSIVE
from balancer.pool.registry import Registry
from balancer.rng import Rng
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from balancer.upstream.embedder import EmbedderUpstream, Encoder

SLOTS: Final = 4
"""Requests whose texts are with the embedder at once."""
QUEUE_MAX: Final = 64
QUEUE_MAX_BYTES: Final = 16 << 20
LOADING_RETRY_AFTER_S: Final = 2.0
_NAME: Final = "embedder"


class TextEmbedder(Encoder[Any], Protocol):
    """The embedder of the cache."""

    ready: bool
    failure: str | None

    @property
    def dimension(self) -> int | None: ...

    @property
    def tokens_max(self) -> int | None: ...


class OwnEmbeddings:
    """See the module."""

    def __init__(self, embedder: TextEmbedder, name: str, beside: Dispatcher, rng: Rng) -> None:
        """``name``: of the model; ``beside``: the dispatcher whose clock, limits, counters and observers serve here."""
        self.name = name
        self._beside = beside
        self._embedder = embedder
        short = name.rpartition("/")[2].lower()
        self._names = frozenset({name.lower(), short, f"sentence-transformers/{short}"})
        self._registry = Registry()
        self._registered = False
        self.dispatcher = Dispatcher(
            registry=self._registry,
            router=Router(make_policy("least-connections"), rng),
            queue=WaitQueue(QUEUE_MAX, QUEUE_MAX_BYTES),
            upstreams={"upstream": EmbedderUpstream(embedder)},
            clock=beside.clock,
            unix_time=beside.unix_time,
            limits=beside.limits,
        )
        self.dispatcher.counts = beside.counts
        self.dispatcher.observers = beside.observers

    @property
    def hopeless(self) -> bool:
        """The embedder will never work here."""
        return self._embedder.failure is not None

    @property
    def dimension(self) -> int | None:
        """Of the vectors; ``None`` until it is known."""
        return self._embedder.dimension

    def means(self, model: str) -> bool:
        """Whether this names the embedder's model, by its name or one that it is known by."""
        return not self.hopeless and model.lower() in self._names

    def models(self) -> dict[str, int | None]:
        """The model and how many tokens of a text it reads, once it can be asked."""
        return {self.name: self._embedder.tokens_max} if self._embedder.ready else {}

    def unready(self) -> Failure | None:
        """Why it cannot be asked now, if so."""
        if self._embedder.ready:
            self._join()
            return None
        return no_backend(f"{self.name} is being loaded", LOADING_RETRY_AFTER_S)

    def unknown(self, model: str | None) -> Failure | None:
        """Why a model that neither a backend nor this one is cannot be asked: the list of those there are has it."""
        beside = self._beside
        registry, rules = beside.registry, beside.rules
        offered = registry.view.models()
        if model is None or model in offered or not self._embedder.ready or beside.stopping:
            return None
        if rules is not None and model in rules.by_name:
            return None
        found = resolve_model(
            model,
            (self.name, *offered),
            None,
            CLASSIC_MODEL,
            lambda name: registry.model_seen(name, beside.clock.time()),
            beside.uptime_s,
            registry.view.awaits_models(),
        )
        return found if isinstance(found, Failure) else None

    def _join(self) -> None:
        if self._registered:
            return
        self._registered = True
        spec = BackendSpec(
            name=_NAME,
            kind="upstream",
            host="",
            port=0,
            models=(ModelInfo(self.name, self._embedder.tokens_max),),
            endpoints=frozenset({"embeddings"}),
            slots=SLOTS,
        )
        self._registry.register(spec, self.dispatcher.clock.time(), timings=PASSIVE)

    def advance(self, now: float) -> None:
        """Every tick."""
        self.dispatcher.limits = self._beside.limits
        self.dispatcher.pool_changed(self._registry.advance(now))
        self.dispatcher.advance(now)
