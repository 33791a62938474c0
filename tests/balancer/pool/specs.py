"""Backends for tests, said in as few words as the test needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered

READY = Load(ready=True)


def a_spec(name: str = "a", *, model: str = "m", **changes: Any) -> BackendSpec:
    """A native backend with 4 slots, one model, its own port by its name, and chat and completions."""
    spec = BackendSpec(
        name=name,
        kind="native",
        host="127.0.0.1",
        port=2000 + sum(name.encode()),
        models=(ModelInfo(model, 1024),),
        endpoints=frozenset({"chat", "completions"}),
        slots=4,
        instance=f"{name}-1",
    )
    return replace(spec, **changes)


def join(registry: Registry, spec: BackendSpec, now: float = 0.0) -> Registered:
    """Register a backend that must not be refused; it is joining."""
    answer = registry.register(spec, now)
    assert isinstance(answer, Registered), answer
    return answer


def join_alive(registry: Registry, spec: BackendSpec, now: float = 0.0) -> Registered:
    """Register a backend, and let its first beat come."""
    answer = join(registry, spec, now)
    registry.beat(answer.lease_id, 1, READY, now)
    return answer
