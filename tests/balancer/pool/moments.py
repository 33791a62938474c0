"""A registry as time passes."""

from __future__ import annotations

from balancer.pool.backend import State
from balancer.pool.registry import Registry
from balancer.pool.transition import Reason, Transition


def advance(registry: Registry, start: float, end: float) -> list[Transition]:
    """Tick every 0.25 s from `start` to `end`, both included."""
    ticks = round((end - start) / 0.25)
    return [t for tick in range(ticks + 1) for t in registry.advance(start + tick * 0.25)]


def changes(transitions: tuple[Transition, ...] | list[Transition]) -> list[tuple[str, State | None, Reason]]:
    return [(t.name, t.new, t.reason) for t in transitions]


def state(registry: Registry, name: str) -> State | None:
    return next((backend.state for backend in registry.view.backends if backend.spec.name == name), None)
