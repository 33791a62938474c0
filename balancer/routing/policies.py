"""The policies by the names an operator writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

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

POLICIES: Mapping[str, Callable[[], Policy]] = MappingProxyType(
    {policy.name: policy for policy in (RoundRobin, LeastConnections, RandomChoice, PowerOfTwo, Priority)}
)

UNOFFERED: Mapping[str, Callable[[], Policy]] = MappingProxyType(
    {policy.name: policy for policy in (Session, LeastLatency, LeastTokens, PrefixAffinity)}
)
"""Kept from operators while no exchange gives `RouteNeed.session` and `blocks`, or calls `Router.first_token`, `ended`
and `beat`; the simulator does."""


def make_policy(name: str) -> Policy:
    """A new policy of this name.

    Raises:
        KeyError: there is none of this name.
    """
    return POLICIES[name]()
