"""Adaptive: what the traffic asks for, request by request; meant to be right where nobody wants to choose.

By `prefix-affinity` where some backend has the beginning of the prompt, by `least-tokens` where none has. Where no
prompts share anything, only one in `SAMPLED` is hashed, until one is found that does.

Without reports of load it goes by its own ledger, which is as good as long as the answers are streams, and one balancer
or two stand in front of the engines; so there is nothing to fall back to: measured with `scripts/simulate`, power of
two choices and least connections do worse there, too.
"""

from __future__ import annotations

from balancer.routing.prefix_affinity import PrefixAffinity

BARREN = 1024
"""After so many prompts in a row without a known beginning, few are hashed."""
SAMPLED = 16


class Adaptive(PrefixAffinity):
    """An `AttentivePolicy`."""

    name = "adaptive"

    @property
    def wants_blocks(self) -> bool:
        return self.barren < BARREN or self.asked % SAMPLED == 0
