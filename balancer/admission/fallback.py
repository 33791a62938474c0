"""The models that one request may be answered by, best first, and when the next one's turn is."""

from __future__ import annotations

from typing import Final

from balancer.admission.aliases import ModelRules
from balancer.admission.canary import arm_of
from balancer.errors import Failure, model_not_allowed
from balancer.rng import Rng

_NO_ROOM: Final = frozenset(
    {"no_backend", "model_not_found", "wrong_endpoint", "context_length_exceeded", "queue_full", "queue_timeout"}
)


class Chain:
    """Of one request. Its first model is asked first; each further one after the one before could not answer."""

    __slots__ = ("_rest", "asked", "model")

    def __init__(self, asked: str | None, models: tuple[str, ...]) -> None:
        self.asked = asked
        """The name that the request gave, or the default."""
        self.model = models[0] if models else None
        """Whose turn it is; ``None``: the request named none, and there is no default."""
        self._rest = models[1:]

    @property
    def rest(self) -> tuple[str, ...]:
        """Whose turn may still come."""
        return self._rest

    def next(self) -> str | None:
        """The turn passes to the next; ``None``: that was the last."""
        if not self._rest:
            return None
        self.model, *rest = self._rest
        self._rest = tuple(rest)
        return self.model


def chain_of(
    rules: ModelRules | None,
    named: str | None,
    *,
    arm: str | None,
    fallback: bool,
    tenant: str,
    session: str,
    rng: Rng,
) -> Chain | Failure:
    """The models for a request that named ``named`` (or else the default is meant).

    ``arm``: the one model that the client wants of those that the name may mean. ``fallback``: it takes another one
    than it asked for. ``session`` is empty where it has none.
    """
    if named is None:
        return Chain(None, ()) if arm is None else model_not_allowed(arm, None, ())
    rule = rules.by_name.get(named) if rules is not None else None
    if arm is not None:
        known = rules.meanings(named) if rules is not None else (named,)
        if arm not in known:
            return model_not_allowed(arm, named, known)
        model = arm
    else:
        model = arm_of(rule.arms, named, tenant, session, rng) if rule is not None else named
    others = rules.fallbacks(named, model) if rules is not None and fallback else ()
    return Chain(named, (model, *others))


def may_fall_back(failure: Failure) -> bool:
    """Whether another model may answer after this: the request is not what is wrong, or only too much for this one."""
    return failure.retryable or failure.code in _NO_ROOM
