"""Fakes at the ports of the balancer: a clock, backends that do what the test says, a sink that remembers.

`Hall` is the inside of a daemon without its doors: real pool, routing, queue and exchanges, between those fakes.
"""

from __future__ import annotations

import random
from typing import Any

from balancer.admission.queue import WaitQueue
from balancer.cache.keys import KeyRules
from balancer.cache.store import CacheLimits, CacheStore
from balancer.errors import Failure
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.exchange import Exchange
from balancer.exchange.outcome import Opening, Outcome
from balancer.exchange.ports import Receiver
from balancer.exchange.timeline import Limits
from balancer.pool.backend import BackendSpec
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered
from balancer.request import Request
from balancer.routing.policies import make_policy
from balancer.routing.select import Router
from balancer.wire import openai
from balancer.wire.dialect import Usage
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data
from tests.balancer.pool.specs import a_spec
from tests.fake_embedder import FakeEmbedder


class FakeClock:
    """Time that passes when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now


def text_events(*texts: str) -> bytes:
    """Completion events with these pieces of text."""
    return b"".join(openai.text_event("completions", "cmpl-1", "m", 0, text) for text in texts)


def last_events(finish_reason: str = "stop", *, completion_tokens: int | None = 2) -> bytes:
    """The events that end an answer."""
    usage = Usage(3, completion_tokens, 3 + completion_tokens) if completion_tokens is not None else None
    return openai.final_events("completions", "cmpl-1", "m", 0, finish_reason, usage)


class FakeCall:
    """A request at a backend; the test answers it."""

    def __init__(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> None:
        self.spec = spec
        self.request = request
        self.model = model
        self.receiver = receiver
        self.cancelled = False
        self.paused = False
        self.over = False

    @property
    def backend(self) -> str:
        return self.spec.name

    @property
    def running(self) -> bool:
        return not (self.over or self.cancelled)

    def cancel(self) -> None:
        self.cancelled = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    # --- what the backend does

    def say(self, *texts: str) -> None:
        self.send(text_events(*texts))

    def send(self, events: bytes) -> None:
        assert self.running, "a call that is over says nothing"
        self.receiver.on_events(events)

    def finish(self, finish_reason: str = "stop") -> None:
        self.send(last_events(finish_reason))
        if self.running:
            self.over = True
            self.receiver.on_end()

    def answer(self, *texts: str) -> None:
        self.say(*texts)
        self.finish()

    def answer_whole(self, body: bytes) -> None:
        """Answer in one piece, as backends do that were not asked to stream."""
        assert self.running, "a call that is over says nothing"
        self.receiver.on_whole(body)
        if self.running:
            self.over = True
            self.receiver.on_end()

    def fail(self, failure: Failure) -> None:
        assert self.running, "a call that is over says nothing"
        self.over = True
        self.receiver.on_failure(failure)


class ScriptedUpstream:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []

    def ask(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> FakeCall:
        self.calls.append(FakeCall(spec, request, model, receiver))
        return self.calls[-1]

    @property
    def running(self) -> list[FakeCall]:
        return [call for call in self.calls if call.running]


class RecordingSink:
    """What a client would hear."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.openings: list[Opening] = []
        self.body = b""
        self.raw = b""
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self.endings = 0
        self.refuses: str | None = None
        """Set: the next events cannot be read."""

    def opened(self, opening: Opening) -> None:
        self.openings.append(opening)

    def resumed(self, opening: Opening) -> None:
        self.openings.append(opening)

    def whole(self, body: bytes) -> None:
        self.body = body

    def queued(self, position: int) -> None:
        self.positions.append(position)

    def events(self, events: bytes) -> None:
        assert not self.endings, "an answer went on after its end"
        if self.refuses is not None:
            raise ValueError(self.refuses)
        self.raw += events

    def done(self, outcome: Outcome) -> None:
        self.endings += 1
        self.outcome = outcome

    def failed(self, failure: Failure) -> None:
        self.endings += 1
        self.failure = failure

    @property
    def text(self) -> str:
        chunks = [parse_chunk(data) for data in event_data(self.raw) if data != b"[DONE]"]
        return "".join(chunk_text(choice) for chunk in chunks for choice in chunk.choices)

    @property
    def code(self) -> str | None:
        return self.failure.code if self.failure is not None else None


def completion_of(prompt: str, **changes: Any) -> Request:
    """A request for a completion."""
    fields: dict[str, Any] = {
        "id": "1",
        "tenant": "local",
        "endpoint": "completions",
        "body": {"prompt": prompt},
        "prompt_bytes": len(prompt.encode()),
    }
    return Request(**{**fields, **changes})


class Hall:
    """See the module."""

    def __init__(
        self,
        *,
        policy: str = "least-connections",
        queue_size: int = 256,
        queue_bytes: int = 1 << 20,
        limits: Limits | None = None,
        cache: bool = False,
        default_model: str | None = None,
        clock: Any = None,
    ) -> None:
        self.clock = clock if clock is not None else FakeClock()
        self.registry = Registry()
        self.queue = WaitQueue(queue_size, queue_bytes)
        self.upstream = ScriptedUpstream()
        self.embedder = FakeEmbedder()
        self.store = CacheStore(CacheLimits())
        lane = CacheLane(self.store, self.embedder, self.clock, wait_s=0.03, ttl_s=3600.0, rules=KeyRules())
        self.dispatcher = Dispatcher(
            registry=self.registry,
            router=Router(make_policy(policy), random.Random(0)),
            queue=self.queue,
            upstreams=dict.fromkeys(("native", "upstream", "classic"), self.upstream),
            clock=self.clock,
            unix_time=lambda: 1_800_000_000,
            limits=limits or Limits(),
            cache=lane if cache else None,
            default_model=default_model,
        )
        self.leases: dict[str, int] = {}
        self._beats = 0
        self._asked = 0

    # --- backends

    def join(self, name: str = "a", *, alive: bool = True, **changes: Any) -> int:
        """Register a backend (4 slots, model m, unless told otherwise) and let it beat; its lease."""
        found = self.registry.register(a_spec(name, **changes), self.clock.time())
        assert isinstance(found, Registered), found
        self.dispatcher.pool_changed(found.transitions)
        self.leases[name] = found.lease_id
        if alive:
            self.beat(name)
        return found.lease_id

    def beat(self, name: str, **load: Any) -> None:
        self._beats += 1
        result = self.registry.beat(self.leases[name], self._beats, Load(**load), self.clock.time())
        self.dispatcher.pool_changed(result.transitions)

    def leave(self, name: str) -> None:
        """The backend's control connection ends."""
        self.dispatcher.pool_changed(self.registry.leave(self.leases[name], self.clock.time()))

    def in_flight(self) -> int:
        return self.registry.ledger.total_in_flight()

    # --- requests

    def ask(self, prompt: str = "hello", **changes: Any) -> tuple[Exchange | None, RecordingSink]:
        """Begin a completion."""
        sink = RecordingSink()
        return self.dispatcher.begin(self.request(prompt, **changes), sink), sink

    def request(self, prompt: str = "hello", **changes: Any) -> Request:
        self._asked += 1
        return completion_of(prompt, **{"id": f"{self._asked:024x}", **changes})

    @property
    def calls(self) -> list[FakeCall]:
        return self.upstream.calls

    def pass_time(self, seconds: float, *, beats: bool = True) -> None:
        """Let time pass in ticks, as the daemon does; backends beat meanwhile, unless told not to."""
        ends_at = self.clock.now + seconds
        while self.clock.now < ends_at:
            self.clock.now = min(self.clock.now + 0.25, ends_at)
            if beats:
                for name in self.leases:
                    if self.registry.member(self.leases[name]) is not None:
                        self.beat(name)
            self.dispatcher.pool_changed(self.registry.advance(self.clock.now))
            self.dispatcher.advance(self.clock.now)
