"""Which entries are to be forgotten: what is named together must all hold, and nothing named means all."""

from __future__ import annotations

from typing import NamedTuple

from balancer.cache.entry import Entry


class Purge(NamedTuple):
    """Of a tenant, of a model, whose question begins so, or the entry with this key."""

    tenant: str | None = None
    model: str | None = None
    prefix: str | None = None
    entry: bytes | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether this entry goes."""
        return (
            self.tenant in (None, entry.tenant)
            and self.model in (None, entry.model)
            and self.entry in (None, entry.key)
            and (self.prefix is None or entry.question.startswith(self.prefix))
        )
