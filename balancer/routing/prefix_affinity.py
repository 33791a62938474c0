"""Prefix affinity: where the prompt's beginning is in the cache, unless the work that waits there outweighs it.

The cost of a backend is the prefill that waits there and what this prompt would add, at a price, over its speed
(`work.py`). A token that is computed again costs more than its own time: it takes capacity from others, `MISS_PRICE` in
all, and where the cache is full it pushes somebody's prefix out: `FULL_PRICE` more. So a request stays with its prefix
until that backend is far behind; then the next one that gets it holds the prefix, too. What each was given lately
counts as well (`spread.py`), `SPREAD_S` for a fair share: less than computing a long history again, more than computing
a preamble that all conversations have in common.

What is in a cache is a guess from what was sent where (`prefix_index.py`). A prompt of which nobody has anything goes
by `least-tokens`.

Rejected, all measured with `scripts/simulate`: a price of 1 while there is room (two balancers side by side, each of
which sees the other's load come and go, make copies until both are late); of 4 (what all conversations have in common
draws them to a few backends); and to count requests under way as much as for prompts that must be computed (near
saturation hits leave their cache).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.routing.alike import next_of_least
from balancer.routing.least_tokens import costs_of
from balancer.routing.policy import BYTES_A_TOKEN, Candidates, Parts, Rng, RouteNeed
from balancer.routing.prefix_index import TOKENS_A_BLOCK, Level, PrefixIndex
from balancer.routing.spread import Spread
from balancer.routing.work import RUNNING_TOKENS_OF_HIT, ByWork, Work

MISS_PRICE = 2.0
FULL_PRICE = 3.0
SPREAD_S = 0.2


class PrefixAffinity(ByWork):
    """An `AttentivePolicy`."""

    name = "prefix-affinity"

    def __init__(self) -> None:
        super().__init__()
        self._index = PrefixIndex(0)
        self._spread = Spread(0)
        self._generation: dict[int, int] = {}
        self._last = -1
        self._levels: Sequence[Level] = ()
        """Of the request that is being routed."""
        self._price: list[float] = []
        """What a token costs that is not in the cache, in tokens."""
        self._tokens = 0
        """Of its prompt."""
        self.asked = 0
        self.barren = 0
        """How many prompts in a row had a beginning that nobody knew."""

    @property
    def wants_blocks(self) -> bool:
        return True

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        work = self._work
        if work is None or work.version != view.version:
            work = self._follow(view, ledger)
        self._tokens = tokens = need.prompt_bytes // BYTES_A_TOKEN
        costs: Sequence[float] | npt.NDArray[np.float64]
        self._levels = levels = self._index.levels(need.blocks) if need.blocks else ()
        if levels:
            self.barren = 0
            self._spread.advance(now)
            costs = self._costs(candidates, work, ledger, tokens, levels)
        else:
            costs = costs_of(candidates, work, ledger, tokens)
        self._last = next_of_least(candidates, costs, self._last)
        return self._last

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        assert self._work is not None
        self.asked += 1
        index = lease.index
        self._work.leased(lease, ledger, _uncached(index, self._tokens, self._levels), now)
        if need.blocks:
            if not self._levels:
                self.barren += 1
                self._spread.advance(now)
            self._index.sent(index, need.blocks, ledger.kv_total[index])
            self._spread.gave(index, self._work.s_per_token[index])
            self._price[index] = MISS_PRICE + FULL_PRICE * self._index.fullness[index]

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        work = self._work
        if work is None or work.version != view.version:
            work = self._follow(view, ledger)
        levels = self._index.levels(need.blocks)
        indexes = list(candidates)
        tokens = need.prompt_tokens
        if not levels:
            return [
                {"cached_tokens": 0.0, **work.parts(index, ledger), "cost": cost}
                for index, cost in zip(indexes, costs_of(indexes, work, ledger, tokens), strict=True)
            ]
        self._spread.advance(now)
        costs = self._costs(indexes, work, ledger, tokens, levels)
        a_share = self._spread.per_share(indexes, work.s_per_token[indexes[0]])
        spared = self._spared(max(indexes) + 1, levels)
        return [
            {
                "cached_tokens": min(float(tokens), float(spared[index])),
                **work.parts(index, ledger),
                "cache_full": self._index.fullness[index],
                "fair_shares_lately": a_share * self._spread.given[index],
                "cost": float(cost),
            }
            for index, cost in zip(indexes, costs, strict=True)
        ]

    def _costs(
        self, candidates: Candidates, work: Work, ledger: Ledger, tokens: int, levels: Sequence[Level]
    ) -> list[float] | npt.NDArray[np.float64]:
        """In seconds; of a prompt of which somebody has the beginning."""
        spread_s = SPREAD_S * self._spread.per_share(candidates, work.s_per_token[int(candidates[0])])
        if not isinstance(candidates, list):
            return self._costs_of_many(candidates, work, ledger, tokens, levels, spread_s)
        waits, speeds, weights = work.hit_wait_s, work.s_per_token, ledger.weight
        prices, given = self._price, self._spread.given
        blocks, members = levels[0]
        left = max(0, tokens - blocks * TOKENS_A_BLOCK)
        if len(levels) == 1:  # the common case, in one pass
            return [
                (
                    waits[i]
                    + (prices[i] * (left if members >> i & 1 else tokens) + RUNNING_TOKENS_OF_HIT) * speeds[i]
                    + spread_s * given[i]
                )
                / weights[i]
                for i in candidates
            ]
        uncached = [left if members >> i & 1 else _uncached(i, tokens, levels) for i in candidates]
        return [
            (waits[i] + (prices[i] * more + RUNNING_TOKENS_OF_HIT) * speeds[i] + spread_s * given[i]) / weights[i]
            for i, more in zip(candidates, uncached, strict=True)
        ]

    def _costs_of_many(
        self,
        candidates: npt.NDArray[np.intp],
        work: Work,
        ledger: Ledger,
        tokens: int,
        levels: Sequence[Level],
        spread_s: float,
    ) -> npt.NDArray[np.float64]:
        size = int(candidates[-1]) + 1
        costs: npt.NDArray[np.float64] = np.maximum(tokens - self._spared(size, levels), 0.0)
        costs *= MISS_PRICE + FULL_PRICE * self._index.fullness_np[:size]
        costs += RUNNING_TOKENS_OF_HIT
        costs *= work.s_per_token_np[:size]
        costs += work.hit_wait_s_np[:size]
        costs += spread_s * self._spread.given_np[:size]
        return costs[candidates] / ledger.weight_np[candidates]

    def _spared(self, size: int, levels: Sequence[Level]) -> npt.NDArray[np.float64]:
        """Tokens of the prompt that each of the first so many backends holds."""
        spared = np.zeros(size)
        first_indexes = (1 << size) - 1
        for blocks, members in levels:
            bits = (members & first_indexes).to_bytes((size + 7) // 8, "little")
            holds = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size, bitorder="little")
            spared[holds.view(np.bool_)] = blocks * TOKENS_A_BLOCK
        return spared

    def _follow(self, view: PoolView, ledger: Ledger) -> Work:
        """Caches end with their process."""
        work = self._work
        if work is None:
            size = len(ledger.generation)
            work = self._work = Work(ledger)
            self._index, self._spread = PrefixIndex(size), Spread(size)
            self._price = [MISS_PRICE] * size
        work.follow(view, ledger)
        there = {backend.index: backend.generation for backend in view.backends}
        stayed = [index for index, generation in there.items() if self._generation.get(index) == generation]
        for index, generation in self._generation.items():
            if there.get(index) != generation:
                self._index.forget(index)
                self._price[index] = MISS_PRICE
        for index in there.keys() - stayed:
            self._spread.forget(index, stayed)
        self._generation = there
        return work


def _uncached(index: int, tokens: int, levels: Sequence[Level]) -> int:
    """Tokens of the prompt that this backend has to compute."""
    for blocks, members in levels:
        if members >> index & 1:
            return max(0, tokens - blocks * TOKENS_A_BLOCK)
    return tokens
