"""Who is much slower than all who do the same work.

Two times are compared: that between tokens, and that to the first token for 1,000 prompt tokens. Peers are backends
that offer exactly the same models: they do the same work, and those who serve several models have the same mixture.
What depends on the machine is left to the operator: where a slow one is wanted beside fast ones, raise the ratio.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.pool.backend import State
from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.pace import Pace
from balancer.pool.view import PoolBackend, PoolView

Kind = Literal["itl", "ttft"]


class Times(NamedTuple):
    """Of one request; None where a time isn't known."""

    itl_s: float | None
    """The mean time between two tokens."""
    ttft_s: float | None
    """To the first token, per 1,000 prompt tokens."""


_UNKNOWN = Times(None, None)


class Slow(NamedTuple):
    """A backend that is too slow."""

    backend: int
    """Its index."""
    kind: Kind
    bearable_s: float
    """What would still have been bearable."""
    reason: str


class Comparison:
    """The times of all backends of a ledger, by index."""

    def __init__(self, capacity: int, limits: BreakerLimits) -> None:
        self._limits = limits
        self._itl = Pace(capacity, limits.window_s)
        self._ttft = Pace(capacity, limits.window_s)
        self._version = -1
        self._groups: list[npt.NDArray[np.intp]] = []

    def times(self, ttft_s: float | None, prompt_tokens: int | None, itl_s: float | None) -> Times:
        """What of a request can be compared."""
        if ttft_s is None or prompt_tokens is None:
            return _UNKNOWN if itl_s is None else Times(itl_s, None)
        return Times(itl_s, ttft_s * 1000 / max(prompt_tokens, self._limits.least_prompt_tokens))

    def add(self, index: int, times: Times, now: float) -> None:
        """A request of this backend took so long."""
        itl_s, ttft_s = times
        if itl_s is not None:
            self._itl.add(index, itl_s, now)
        if ttft_s is not None:
            self._ttft.add(index, ttft_s, now)

    def forget(self, index: int) -> None:
        """Nothing is known of this backend."""
        self._itl.forget(index)
        self._ttft.forget(index)

    def clear(self) -> None:
        """Nothing is known of anyone."""
        self._itl.clear()
        self._ttft.clear()

    def find(self, view: PoolView, now: float) -> list[Slow]:
        """At most one backend of each group of peers and kind of time."""
        if view.version != self._version:
            self._version = view.version
            self._groups = _groups(view.backends, self._limits.peers + 1)
        if not self._groups:
            return []
        limits = self._limits
        return [
            *self._find("itl", self._itl, limits.least_itl_s, "a token", now),
            *self._find("ttft", self._ttft, limits.least_ttft_s, "to the first of 1,000 prompt tokens", now),
        ]

    def _find(self, kind: Kind, pace: Pace, least_s: float, words: str, now: float) -> list[Slow]:
        limits = self._limits
        values, counts = pace.means(np.concatenate(self._groups), now, limits.outlier_requests)
        if not (counts >= limits.outlier_requests).any():
            return []
        found: list[Slow] = []
        begin = 0
        for group in self._groups:
            end = begin + len(group)
            outlier = find_outlier(values[begin:end], counts[begin:end], least_s, self._limits)
            begin = end
            if outlier is not None:
                times = f"{outlier.value / outlier.peers:.1f} times as long as its peers"
                reason = f"{outlier.value * 1000:.0f} ms {words}, {times}"
                bearable_s = outlier.peers * self._limits.outlier_ratio
                found.append(Slow(int(group[outlier.position]), kind, bearable_s, reason))
        return found


class Outlier(NamedTuple):
    """One of the numbers compared."""

    position: int
    value: float
    peers: float
    """The median of the others, or the least that counts."""


def find_outlier(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], least: float, limits: BreakerLimits
) -> Outlier | None:
    """The greatest, if it is an outlier; None if it isn't, or if there is too little to judge by.

    One at a time: without it the others look different.
    """
    judged = np.flatnonzero(counts >= limits.outlier_requests)
    if not len(judged):
        return None
    greatest = int(judged[values[judged].argmax()])
    compared = counts >= limits.peer_requests
    compared[greatest] = False
    peers = values[compared]
    if len(peers) < limits.peers:
        return None
    median = max(float(np.median(peers)), least)
    value = float(values[greatest])
    return Outlier(greatest, value, median) if value > limits.outlier_ratio * median else None


def _groups(backends: tuple[PoolBackend, ...], least: int) -> list[npt.NDArray[np.intp]]:
    """Indexes of those that take requests, by the models they offer, where there are enough to compare."""
    found: dict[frozenset[str], list[int]] = {}
    for backend in backends:
        if backend.state in (State.ALIVE, State.SUSPECT):
            found.setdefault(frozenset(info.name for info in backend.spec.models), []).append(backend.index)
    return [np.array(group, dtype=np.intp) for group in found.values() if len(group) >= least]
