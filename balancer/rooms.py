"""The rooms that settings reach while they run, and the one place where settings become values in them.

The daemon applies the settings once at its start, and every reload applies the new ones: what stands here alone holds
both times. Requests that run keep the limits and the tenant that they began with.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancer.config import Config
from balancer.doors.agents import Agents
from balancer.doors.clients import ClientLimits, Clients
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.first_tokens import FirstTokens
from balancer.exchange.timeline import Limits
from balancer.routing.policies import make_policy
from balancer.routing.prefer import preference
from balancer.routing.select import Router
from balancer.upstream.watch import Watch


@dataclass(frozen=True, slots=True)
class Rooms:
    """What settings reach. The upstreams of ``watch`` take time, and are not among what `apply` does."""

    dispatcher: Dispatcher
    router: Router
    clients: Clients
    agents: Agents
    watch: Watch

    def apply(self, config: Config) -> None:
        """Let these settings hold from now on. A policy that stays keeps what it has learned."""
        dispatcher, router, clients, agents = self.dispatcher, self.router, self.clients, self.agents
        if router.policy.name != config.policy:
            router.policy = make_policy(config.policy)
        router.preference = preference(config.prefer)
        dispatcher.limits = exchange_limits(config)
        dispatcher.default_model = config.default_model
        dispatcher.rules = config.models
        dispatcher.hedging = (dispatcher.hedging or FirstTokens()) if config.hedge else None
        dispatcher.queue.resize(config.queue_size, config.queue_bytes)
        clients.limits = client_limits(config)
        clients.keys = config.keys
        clients.explains = config.explain
        agents.token = config.token
        agents.networks = config.backends_from


def exchange_limits(config: Config) -> Limits:
    """How long the parts of an exchange may take."""
    return Limits(
        first_token_s=config.first_token_timeout_s,
        between_tokens_s=config.token_timeout_s,
        queue_s=config.queue_timeout_s,
        request_s=config.request_timeout_s,
    )


def client_limits(config: Config) -> ClientLimits:
    """How long clients may take."""
    return ClientLimits(write_s=config.write_timeout_s, line_s=config.head_timeout_s, body_s=config.body_timeout_s)
