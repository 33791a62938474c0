"""The rule of sglang's router, as its documentation tells it, to compare with: our own code, for the simulator only.

Imbalanced (the most loaded has more than 64 requests, and more than 1.5 times as many, as the least loaded): to the
least loaded. Else to whom the longest prefix was sent before, if that is more than 0.3 of the prompt; else to the least
loaded. What was sent where is remembered up to 67,108,864 characters for each backend, the oldest forgotten first.
Source: docs/concepts/routing/cache-aware.md of lightseekorg/smg, and the defaults of its 0.3 releases.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence

from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.policy import Candidates
from scripts.simulate_parts.request import ROUTED_BLOCK_TOKENS

CACHE_THRESHOLD = 0.3
BALANCE_ABS = 64
BALANCE_REL = 1.5
TREE_MAX_CHARS = 67_108_864
BLOCK_BYTES = ROUTED_BLOCK_TOKENS * BYTES_A_TOKEN


class CacheAware:
    """Gets its blocks as attentive policies do; learns nothing from answers."""

    name = "cache_aware"
    wants_blocks = True

    def __init__(self) -> None:
        self._sent: defaultdict[int, OrderedDict[int, None]] = defaultdict(OrderedDict)

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        chosen = self._choose(list(candidates), ledger, need)
        sent = self._sent[chosen]
        for block in reversed(need.blocks):
            sent[block] = None
            sent.move_to_end(block)
        while len(sent) * BLOCK_BYTES > TREE_MAX_CHARS:
            sent.popitem(last=False)
        return chosen

    def _choose(self, candidates: Sequence[int], ledger: Ledger, need: RouteNeed) -> int:
        load = ledger.in_flight
        least_loaded = min(candidates, key=load.__getitem__)
        least, most = load[least_loaded], max(load[index] for index in candidates)
        if most - least > BALANCE_ABS and most > BALANCE_REL * least:
            return least_loaded
        matched, best = max((self._matched(index, need.blocks), -index) for index in candidates)
        if matched * BLOCK_BYTES > CACHE_THRESHOLD * max(1, need.prompt_bytes):
            return -best
        return least_loaded

    def _matched(self, index: int, blocks: Iterable[int]) -> int:
        sent = self._sent[index]
        count = 0
        for block in blocks:
            if block not in sent:
                break
            count += 1
        return count

    def leased(self, *_: object) -> None: ...

    def first_token(self, *_: object) -> None: ...

    def failed(self, *_: object) -> None: ...

    def ended(self, *_: object) -> None: ...

    def beat(self, *_: object) -> None: ...
