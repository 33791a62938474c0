"""The pool as routing and the doors read it: immutable, and replaced as a whole when a backend changes state.

Strategy: a decision must not look at every backend's models and state. So the view sorts the candidates for a
model and an endpoint into tiers once (at the first question after a change), and a decision only checks slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from balancer.pool.backend import CLASSIC_MODEL, BackendSpec, State

CONVERTIBLE: Mapping[str, str] = MappingProxyType({"chat": "completions", "completions": "chat"})
"""Endpoints whose requests can be rewritten for another: a prompt is one user message, messages are one prompt."""

GROUPS_MAX = 4096
"""Memoised groups of one view; model names that nobody offers are never memoised."""

_NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True)
class PoolBackend:
    """One backend in a view."""

    index: int
    generation: int
    spec: BackendSpec
    state: State


class Tier:
    """Candidates that are equally good but for their load."""

    __slots__ = ("backends", "indexes", "indexes_np", "positions", "prompt_limits", "prompt_limits_np")

    def __init__(self, backends: tuple[PoolBackend, ...]) -> None:
        self.backends = backends
        self.indexes: list[int] = [backend.index for backend in backends]
        self.indexes_np: npt.NDArray[np.intp] = np.array(self.indexes, dtype=np.intp)
        self.positions: dict[str, int] = {backend.spec.process: at for at, backend in enumerate(backends)}
        limits = [backend.spec.max_prompt_bytes for backend in backends]
        self.prompt_limits: list[int] | None = None
        """The longest prompt (bytes) of each, in step with `indexes`; None when nobody has a limit."""
        if any(limit is not None for limit in limits):
            self.prompt_limits = [_NO_LIMIT if limit is None else limit for limit in limits]
        self.prompt_limits_np: npt.NDArray[np.int64] = np.array(self.prompt_limits or (), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Group:
    """Who could serve a model at an endpoint now, best tier first, and whether anyone offers it in any state."""

    tiers: tuple[Tier, ...]
    model_offered: bool
    endpoint_offered: bool


class PoolView:
    """All backends at one version of the pool. `version` grows with every change."""

    def __init__(self, version: int, backends: Iterable[PoolBackend]) -> None:
        self.version = version
        self.backends = tuple(backends)
        self._models: Mapping[str, tuple[PoolBackend, ...]] | None = None
        self._groups: dict[tuple[str, str, bool, bool], Group] = {}

    def models(self) -> Mapping[str, tuple[PoolBackend, ...]]:
        """Every model of a backend in the pool, whatever its state, with the backends that offer it."""
        if self._models is None:
            found: dict[str, list[PoolBackend]] = {}
            for backend in self.backends:
                for name in {info.name: None for info in backend.spec.models}:
                    found.setdefault(name, []).append(backend)
            self._models = MappingProxyType({name: tuple(backends) for name, backends in found.items()})
        return self._models

    def awaits_models(self) -> bool:
        """Whether a configured backend has yet to tell what it offers."""
        return any(backend.spec.kind == "upstream" and not backend.spec.models for backend in self.backends)

    def group(self, model: str, endpoint: str, *, named: bool = True, resume: bool = False) -> Group:
        """The candidates for requests to this model and endpoint.

        ``named`` False: the client named no model and this is the default, so backends that cannot name theirs
        will do as well. ``resume``: only those that can continue an answer.
        """
        group = self._groups.get((model, endpoint, named, resume))
        if group is None:
            backends = self.models().get(model, ())
            if not named and model != CLASSIC_MODEL:
                backends += self.models().get(CLASSIC_MODEL, ())
            if resume:
                backends = tuple(b for b in backends if b.spec.continues(endpoint))
            group = _group(backends, endpoint)
            if group.model_offered and len(self._groups) < GROUPS_MAX:
                self._groups[model, endpoint, named, resume] = group
        return group


def _group(backends: tuple[PoolBackend, ...], endpoint: str) -> Group:
    backends = tuple(sorted(backends, key=lambda backend: backend.index))
    exact = tuple(b for b in backends if endpoint in b.spec.endpoints)
    other = CONVERTIBLE.get(endpoint)
    converted = tuple(b for b in backends if other in b.spec.endpoints and endpoint not in b.spec.endpoints)
    tiers = (
        tuple(b for b in members if b.state is state)
        for state in (State.ALIVE, State.SUSPECT)
        for members in (exact, converted)
    )
    return Group(
        tiers=tuple(Tier(members) for members in tiers if members),
        model_offered=bool(backends),
        endpoint_offered=bool(exact or converted),
    )
