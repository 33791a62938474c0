"""File descriptors run out before memory does: a part is kept back from clients, so that those who are served stay so.

Without this the event loop meets the limit itself, and then the dial to a backend fails, not the client that came too
late. The kernel gives out the lowest free number, so a new connection's own number tells how many are in use.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger("balancer.doors")

WANTED_MAX = 1 << 20
KEPT_BACK_MIN = 32
KEPT_BACK_SHARE = 1 / 16
"""For dials to backends, probes, operators and the embedder."""
SAY_EVERY_S = 60.0


def raise_limit() -> int:
    """Allow this process as many open files as it may allow itself; how many these are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_MAX if hard == resource.RLIM_INFINITY else min(hard, WANTED_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return WANTED_MAX if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


class Gate:
    """Lets connections in while descriptors last; says at most once a minute that it doesn't."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._for_clients = limit - max(KEPT_BACK_MIN, int(limit * KEPT_BACK_SHARE))
        self._refused = 0
        """Since it last said so."""
        self._said_at = -SAY_EVERY_S

    def admits(self, descriptor: int, now: float) -> bool:
        """Whether the new connection with this descriptor may stay. ``now``: monotonic seconds."""
        if descriptor < self._for_clients:
            return True
        self._refused += 1
        if now - self._said_at >= SAY_EVERY_S:
            log.warning(
                "out of descriptors: of %d open files %d are for connections; %d refused (raise `ulimit -n`)",
                self._limit,
                self._for_clients,
                self._refused,
            )
            self._said_at, self._refused = now, 0
        return False
