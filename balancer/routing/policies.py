"""The policies by the names an operator writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from balancer.routing.adaptive import Adaptive
from balancer.routing.least_connections import LeastConnections
from balancer.routing.least_latency import LeastLatency
from balancer.routing.least_tokens import LeastTokens
from balancer.routing.policy import Policy
from balancer.routing.power_of_two import PowerOfTwo
from balancer.routing.prefix_affinity import PrefixAffinity
from balancer.routing.priority import Priority
from balancer.routing.random_choice import RandomChoice
from balancer.routing.round_robin import RoundRobin
from balancer.routing.session import Session

_ALL: tuple[Callable[[], Policy], ...] = (
    RoundRobin,
    LeastConnections,
    RandomChoice,
    PowerOfTwo,
    Priority,
    Session,
    LeastLatency,
    LeastTokens,
    PrefixAffinity,
    Adaptive,
)
POLICIES: Mapping[str, Callable[[], Policy]] = MappingProxyType({make().name: make for make in _ALL})


def make_policy(name: str) -> Policy:
    """A new policy of this name.

    Raises:
        KeyError: there is none of this name.
    """
    return POLICIES[name]()
