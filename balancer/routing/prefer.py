"""Labels that the operator prefers: who has them is asked first, the others when no preferred one has a slot.

Strategy: a filter before any policy. The tiers of a group are split by the first preference that a backend meets, once
for each state of the pool, so that a decision costs what it did. A suspect backend stays behind all that are alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from balancer.pool.backend import BackendSpec
from balancer.pool.view import GROUPS_MAX, Group, PoolView, Tier

Labels = tuple[tuple[str, str], ...]
"""Keys and values, the most preferred first."""


class Preference:
    """Splits tiers. ``labels`` holds at least one."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._version = -1
        self._split: dict[int, tuple[Group, Group]] = {}

    def group(self, view: PoolView, group: Group) -> Group:
        """The group with its tiers split; ``group`` is one of this view."""
        if not group.tiers:
            return group
        if view.version != self._version or len(self._split) >= GROUPS_MAX:
            self._version = view.version
            self._split = {}
        found = self._split.get(id(group))
        if found is None:  # the group is kept beside its split: while it lives nobody else has its id
            found = self._split[id(group)] = (group, self._splits(group))
        return found[1]

    def rank(self, spec: BackendSpec) -> int:
        """Which label it meets first, from 0; as many as there are labels if none."""
        for rank, label in enumerate(self.labels):
            if label in spec.labels:
                return rank
        return len(self.labels)

    def _splits(self, group: Group) -> Group:
        tiers: list[Tier] = []
        for tier in group.tiers:
            ranks = [self.rank(backend.spec) for backend in tier.backends]
            for rank in sorted(set(ranks)):
                members = (b for b, own in zip(tier.backends, ranks, strict=True) if own == rank)
                tiers.append(Tier(tuple(members)))
        return replace(group, tiers=tuple(tiers))


def preference(labels: Sequence[tuple[str, str]]) -> Preference | None:
    """What splits by these; nothing without any."""
    return Preference(tuple(labels)) if labels else None
