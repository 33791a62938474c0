"""Prefix affinity: where the prompt's beginning is in the cache, unless the work that waits there outweighs it.

The cost of a backend is the prefill that waits there and what this prompt would add, at a price, over its speed
(`work.py`). A token that is computed again costs more than its own time: it takes capacity from others, `MISS_PRICE`
in all, and where the cache is full it pushes somebody's prefix out: `FULL_PRICE` more. So a request stays with its
prefix until that backend is far behind; then the next one that gets it holds the prefix, too.

What is in a cache is a guess from what was sent where (`prefix_index.py`). Without shared beginnings this is
`least-tokens`.

Rejected, both measured with `scripts/simulate`: a price of 1 or 2 everywhere (prefixes multiply until no cache has
room for all), and of 4 everywhere (what all conversations have in common draws them to a few backends).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.routing.alike import next_of_least
from balancer.routing.policy import Candidates, Rng, RouteNeed
from balancer.routing.prefix_index import TOKENS_A_BLOCK, Level, PrefixIndex
from balancer.routing.work import RUNNING_TOKENS, Work

MISS_PRICE = 2.0
FULL_PRICE = 2.0


class PrefixAffinity:
    """An `AttentivePolicy`."""

    name = "prefix-affinity"
    wants_blocks = True

    def __init__(self) -> None:
        self._work: Work | None = None
        self._index = PrefixIndex(0)
        self._generation: dict[int, int] = {}
        self._version = -1
        self._last = -1
        self._levels: Sequence[Level] = ()
        """Of the request that is being routed."""

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        work = self._work
        if work is None:
            work = self._work = Work(ledger)
            self._index = PrefixIndex(len(ledger.generation))
        if view.version != self._version:
            self._follow(view, ledger, work)
        self._levels = self._index.levels(need.blocks)
        tokens = need.prompt_tokens
        costs: list[float] | npt.NDArray[np.float64]
        if isinstance(candidates, list):
            costs = self._costs_of_few(candidates, work, ledger, tokens)
        else:
            costs = self._costs_of_many(candidates, work, ledger, tokens)
        self._last = next_of_least(candidates, costs, self._last)
        return self._last

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        assert self._work is not None
        spared = next((level.blocks for level in self._levels if level.members >> lease.index & 1), 0)
        uncached = max(0.0, need.prompt_tokens - spared * TOKENS_A_BLOCK)
        self._work.leased(lease, ledger, uncached, now)
        if need.blocks:
            self._index.sent(lease.index, need.blocks, ledger.kv_total[lease.index])

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        if self._work is not None:
            self._work.first_token(lease, ledger, now)

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        if self._work is not None:
            self._work.ended(lease, ledger)

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        if self._work is not None:
            self._work.beat(index, ledger)

    def _costs_of_few(self, candidates: list[int], work: Work, ledger: Ledger, tokens: int) -> list[float]:
        waits, speeds, weights, levels = work.wait_s, work.s_per_token, ledger.weight, self._levels
        fullness = self._index.fullness
        costs: list[float] = []
        for index in candidates:
            uncached = tokens
            for blocks, members in levels:
                if members >> index & 1:
                    uncached = max(0, tokens - blocks * TOKENS_A_BLOCK)
                    break
            price = MISS_PRICE + FULL_PRICE * fullness[index]
            costs.append((waits[index] + (price * uncached + RUNNING_TOKENS) * speeds[index]) / weights[index])
        return costs

    def _costs_of_many(
        self, candidates: npt.NDArray[np.intp], work: Work, ledger: Ledger, tokens: int
    ) -> npt.NDArray[np.float64]:
        spared = self._spared(int(candidates[-1]) + 1)[candidates]
        price = MISS_PRICE + FULL_PRICE * self._index.fullness_np[candidates]
        priced = price * np.maximum(tokens - spared, 0.0) + RUNNING_TOKENS
        costs: npt.NDArray[np.float64] = work.wait_s_np[candidates] + priced * work.s_per_token_np[candidates]
        return costs / ledger.weight_np[candidates]

    def _spared(self, size: int) -> npt.NDArray[np.float64]:
        """Tokens of the prompt that each of the first so many backends holds."""
        spared = np.zeros(size)
        first_indexes = (1 << size) - 1
        for blocks, members in self._levels:
            bits = (members & first_indexes).to_bytes((size + 7) // 8, "little")
            holds = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size, bitorder="little")
            spared[holds.view(np.bool_)] = blocks * TOKENS_A_BLOCK
        return spared

    def _follow(self, view: PoolView, ledger: Ledger, work: Work) -> None:
        """Caches end with their process."""
        work.follow(view, ledger)
        there = {backend.index: backend.generation for backend in view.backends}
        for index, generation in self._generation.items():
            if there.get(index) != generation:
                self._index.forget(index)
        self._generation = there
        self._version = view.version
