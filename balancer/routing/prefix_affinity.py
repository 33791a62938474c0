"""Prefix affinity: where the prompt's beginning is in the cache, unless the work that waits there outweighs it.

The cost of a backend is the prefill that waits there and what this prompt would add, at a price, over its speed
(`work.py`). A token that is computed again costs more than its own time: it takes capacity from others, `MISS_PRICE` in
all; where another one has it, it holds up whoever is under way here, `HELD_UP_PRICE` more for each; and where the cache
is full it pushes somebody's prefix out: `FULL_PRICE` more. So a request stays with its prefix until that backend is far
behind; then the next one that gets it holds the prefix, too. What each was given lately counts as well (`spread.py`),
`SPREAD_S` for a fair share: less than computing a long history again, more than computing a preamble that all
conversations have in common.

Who goes on where an earlier prompt ended is the same conversation: its answer, which nobody told us of, is in that
cache, too, and of use to nobody else. So elsewhere `ANSWER_TOKENS` more are missing. (Without that, short conversations
move for what is little more than the noise of the estimates: one follow-up in sixteen, and a point of the hits.)

What is in a cache is a guess from what was sent where (`prefix_index.py`). A prompt of which nobody has anything goes
by `least-tokens`.

Rejected, all measured with `scripts/simulate`: a price of 1 while there is room (two balancers side by side, each of
which sees the other's load come and go, make copies until both are late); of 4 (what all conversations have in common
draws them to a few backends); a higher price for conversations that go on, instead of a constant (tool loops with long
histories stay with backends that are late); `HELD_UP_PRICE` for what nobody has, too (conversations leave those with
many); and to count requests under way as much as for prompts that must be computed (near saturation hits leave their
cache).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.alike import ALIKE_S, next_of_least
from balancer.routing.least_tokens import costs_of, soonest
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.policy import Candidates, Parts
from balancer.routing.prefix_index import TOKENS_A_BLOCK, Level, PrefixIndex
from balancer.routing.spread import Spread
from balancer.routing.work import MISS_PRICE, ByWork, Work

FULL_PRICE = 3.0
SPREAD_S = 0.2
ANSWER_TOKENS = 512
"""Rather more than most answers have: to leave is worth something only if much is to be gained."""
FLOORS_HOLD_S = 0.5
FLOOR = 0.8
"""Part of the least costs that is counted on: between two looks a backend may become faster."""


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
        self._tokens = 0
        """Of its prompt."""
        self._continues = False
        """Whether it goes on where another one ended."""
        self._least_price_s = self._least_given = 0.0
        """What a token that is not in the cache costs at least, and what the one with least was given lately;"""
        self._floors_until, self._floors_since = -math.inf, 0.0
        """and when that is looked up again; the latter is told in the unit that began then."""
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
        self._levels = levels = self._index.levels(need.blocks) if need.blocks else ()
        if not levels:
            self._last = soonest(candidates, work, ledger, tokens, self._last)
            return self._last
        self.barren = 0
        self._continues = self._index.continues(need.blocks, levels[0][0])
        self._spread.advance(now)
        work.settle(ledger)
        spread_s = SPREAD_S * self._spread.per_share(candidates, work.s_per_token[int(candidates[0])])
        chosen = self._only(candidates, work, ledger, tokens, levels, spread_s, now)
        if chosen < 0:
            costs = self._costs(candidates, work, ledger, tokens, levels, spread_s)
            chosen = next_of_least(candidates, costs, self._last)
        self._last = chosen
        return chosen

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        work, levels = self._work, self._levels
        assert work is not None
        self.asked += 1
        index = lease.index
        if not need.blocks:
            work.leased(lease, self._tokens, now)
            return
        work.leased(lease, _uncached(index, self._tokens, levels), now)
        if not levels:
            self.barren += 1
            self._spread.advance(now)
        self._index.sent(index, need.blocks, ledger.kv_total[index], levels[0][0] if levels else 0)
        self._spread.gave(index, work.s_per_token[index])
        work.price[index] = MISS_PRICE + FULL_PRICE * self._index.fullness[index]

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        work = self._work
        if work is None or work.version != view.version:
            work = self._follow(view, ledger)
        levels = self._index.levels(need.blocks)
        indexes = list(candidates)
        tokens = need.prompt_tokens
        work.settle(ledger)
        if not levels:
            return [
                {"cached_tokens": 0.0, **work.parts(index, ledger), "cost": cost}
                for index, cost in zip(indexes, costs_of(indexes, work, ledger, tokens), strict=True)
            ]
        self._spread.advance(now)
        self._continues = self._index.continues(need.blocks, levels[0][0])
        a_share = self._spread.per_share(indexes, work.s_per_token[indexes[0]])
        costs = self._costs(indexes, work, ledger, tokens, levels, SPREAD_S * a_share)
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

    def _only(
        self,
        candidates: Candidates,
        work: Work,
        ledger: Ledger,
        tokens: int,
        levels: Sequence[Level],
        spread_s: float,
        now: float,
    ) -> int:
        """The only one with most of the prompt, if it costs less there than the others' cache alone; else -1.

        That is how most decisions end, and it saves a look at each of the others.
        """
        blocks, members = levels[0]
        if members & (members - 1):
            return -1
        index = members.bit_length() - 1
        if isinstance(candidates, list):
            if index not in candidates:
                return -1
        elif candidates[min(int(candidates.searchsorted(index)), len(candidates) - 1)] != index:
            return -1
        if now >= self._floors_until or self._floors_since != self._spread.since:
            self._look_for_floors(work, ledger, now)
        cost = (
            work.hit_wait_s[index]
            + work.token_s[index] * max(0, tokens - blocks * TOKENS_A_BLOCK)
            + spread_s * self._spread.given[index]
        ) / ledger.weight[index]
        if len(levels) > 1:
            tokens = max(0, tokens - levels[1][0] * TOKENS_A_BLOCK)
        if self._continues:
            tokens += ANSWER_TOKENS
        return index if cost + ALIKE_S < tokens * self._least_price_s + spread_s * self._least_given else -1

    def _look_for_floors(self, work: Work, ledger: Ledger, now: float) -> None:
        self._floors_until, self._floors_since = now + FLOORS_HOLD_S, self._spread.since
        speeds, given, weights = work.s_per_token, self._spread.given, ledger.weight
        self._least_price_s = FLOOR * MISS_PRICE * min(speeds[index] / weights[index] for index in self._generation)
        self._least_given = FLOOR * min(given[index] / weights[index] for index in self._generation)

    def _costs(
        self,
        candidates: Candidates,
        work: Work,
        ledger: Ledger,
        tokens: int,
        levels: Sequence[Level],
        spread_s: float,
    ) -> list[float] | npt.NDArray[np.float64]:
        """In seconds; of a prompt of which somebody has the beginning."""
        blocks, members = levels[0]
        left = max(0, tokens - blocks * TOKENS_A_BLOCK)
        lost = ANSWER_TOKENS if self._continues else 0
        if not isinstance(candidates, list):
            return self._costs_of_many(candidates, work, ledger, tokens, levels, spread_s)
        waits, weights, given = work.hit_wait_s, ledger.weight, self._spread.given
        token_s, miss_s = work.token_s, work.miss_s
        if len(levels) == 1:  # the common case, in one pass
            tokens += lost
            return [
                (waits[i] + (token_s[i] * left if members >> i & 1 else miss_s[i] * tokens) + spread_s * given[i])
                / weights[i]
                for i in candidates
            ]
        missing_s = [
            token_s[i] * left if members >> i & 1 else miss_s[i] * (lost + _uncached(i, tokens, levels))
            for i in candidates
        ]
        return [
            (waits[i] + more_s + spread_s * given[i]) / weights[i]
            for i, more_s in zip(candidates, missing_s, strict=True)
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
        holders = _bits(levels[0][1], size)
        missing_s = costs * work.token_s_np[:size]
        if self._continues:
            costs += ANSWER_TOKENS
        costs *= work.miss_s_np[:size]
        costs[holders] = missing_s[holders]
        costs += work.hit_wait_s_np[:size]
        costs += spread_s * self._spread.given_np[:size]
        return costs[candidates] / ledger.weight_np[candidates]

    def _spared(self, size: int, levels: Sequence[Level]) -> npt.NDArray[np.float64]:
        """Tokens of the prompt that each of the first so many backends holds."""
        spared = np.zeros(size)
        for blocks, members in levels:
            spared[_bits(members, size)] = blocks * TOKENS_A_BLOCK
        return spared

    def _follow(self, view: PoolView, ledger: Ledger) -> Work:
        """Caches end with their process."""
        work = self._work
        if work is None:
            size = len(ledger.generation)
            work = self._work = Work(ledger)
            self._index, self._spread = PrefixIndex(size), Spread(size)
        work.follow(view, ledger)
        there = {backend.index: backend.generation for backend in view.backends}
        stayed = [index for index, generation in there.items() if self._generation.get(index) == generation]
        for index, generation in self._generation.items():
            if there.get(index) != generation:
                self._index.forget(index)
                work.price[index] = MISS_PRICE
        for index in there.keys() - stayed:
            self._spread.forget(index, stayed)
        self._generation = there
        self._spread.know(there)
        self._floors_until = -math.inf
        return work


def _uncached(index: int, tokens: int, levels: Sequence[Level]) -> int:
    """Tokens of the prompt that this backend has to compute."""
    for blocks, members in levels:
        if members >> index & 1:
            return max(0, tokens - blocks * TOKENS_A_BLOCK)
    return tokens


def _bits(members: int, size: int) -> npt.NDArray[np.bool_]:
    """Of the first so many indexes, whether each is a member."""
    bits = (members & (1 << size) - 1).to_bytes((size + 7) // 8, "little")
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size, bitorder="little").view(np.bool_)
