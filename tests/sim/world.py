"""Virtual time: a queue of events, and processes that can freeze, thaw and die."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

Handler = Callable[..., None]

MAX_BACKLOG = 4096
"""What a frozen process's sockets and timers hold for it."""


class World:
    """One seeded run; everything that happens in it happens in `run`."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self._events: list[tuple[float, int, Handler, tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, handler: Handler, *args: Any) -> None:
        """Events of one instant happen in the order they were asked for."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, handler, args))

    def after(self, delay_s: float, handler: Handler, *args: Any) -> None:
        self.at(self.now + delay_s, handler, *args)

    def run(self, until: float) -> None:
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, handler, args = heapq.heappop(events)
            handler(*args)
        self.now = until


class Process:
    """Where handlers run. Frozen, it does nothing and its sockets fill; dead, all it was is gone."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.up = True
        self.frozen = False
        self.incarnation = 0
        self.changed_at = world.now
        """When it last froze, thawed, died or started."""
        self._timers: list[tuple[Handler, tuple[Any, ...]]] = []
        self._messages: list[tuple[Handler, tuple[Any, ...]]] = []

    @property
    def runs(self) -> bool:
        return self.up and not self.frozen

    def after(self, delay_s: float, handler: Handler, *args: Any) -> None:
        """A timer of this process: late if it is frozen then, gone if it dies before."""
        self.world.after(delay_s, self._fire, self.incarnation, handler, args)

    def receive(self, incarnation: int, handler: Handler, *args: Any) -> None:
        """A message for what ran here as `incarnation`."""
        if self.up and incarnation == self.incarnation:
            if not self.frozen:
                handler(*args)
            elif len(self._messages) < MAX_BACKLOG:
                self._messages.append((handler, args))

    def _fire(self, incarnation: int, handler: Handler, args: tuple[Any, ...]) -> None:
        if self.up and incarnation == self.incarnation:
            if self.frozen:
                self._timers.append((handler, args))
            else:
                handler(*args)

    def freeze(self) -> None:
        self.frozen = True
        self.changed_at = self.world.now

    def thaw(self) -> None:
        """What waited happens now: an event loop may look at its timers or at its sockets first."""
        self.frozen = False
        self.changed_at = self.world.now
        timers, self._timers = self._timers, []
        messages, self._messages = self._messages, []
        waiting = timers + messages if self.world.rng.random() < 0.5 else messages + timers
        for handler, args in waiting:
            handler(*args)

    def die(self) -> None:
        self.up = False
        self.frozen = False
        self.changed_at = self.world.now
        self._timers.clear()
        self._messages.clear()

    def start(self) -> None:
        self.up = True
        self.incarnation += 1
        self.changed_at = self.world.now
