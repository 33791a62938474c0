"""Remembers which processes the operator wants drained, also while they are out of the pool."""

from __future__ import annotations

from balancer.pool.backend import BackendSpec

DRAINS_MAX = 4096


class Drains:
    """One wish a name, for one process of that name: its successor is put in service again."""

    def __init__(self) -> None:
        self._instances: dict[str, str] = {}  # in the order of asking

    def ask(self, spec: BackendSpec) -> None:
        """The operator wants this process drained."""
        self._instances[spec.name] = spec.instance
        if len(self._instances) > DRAINS_MAX:
            del self._instances[next(iter(self._instances))]

    def take_back(self, spec: BackendSpec) -> None:
        """The operator wants it in service again."""
        self._instances.pop(spec.name, None)

    def wanted(self, spec: BackendSpec) -> bool:
        """Whether a process that registers is one to be drained; a wish for another of its name ends here."""
        instance = self._instances.get(spec.name)
        if instance is None:
            return False
        if instance != "" and instance == spec.instance:
            return True
        del self._instances[spec.name]
        return False
