"""When ejections are heeded. The rule, exactly:

1. Panic: of all backends that are alive or suspect and offer the model at the endpoint (or can be converted for it),
   more than `Ledger.panic_share` (half) are ejected or on trial. Then all of them serve, as if none were ejected.
2. Otherwise ejected backends get nothing, and one on trial gets one request at a time; but where everybody who could
   take a request is ejected (the others failed it, or cannot read so long a prompt), it goes to one of those.

Neither makes a dead, joining or draining backend serve: those are in no tier. An overload of ejections is more often
a fault of the detection, or of what all of them depend on, than of most backends at once; and the few that would be
left could not carry the load.

Source: the panic threshold of Envoy's load balancers.
"""

from __future__ import annotations

import math

import numpy as np

from balancer.pool.ledger import IN_SERVICE, Ledger
from balancer.pool.view import Group, Tier
from balancer.routing.eligible import possible
from balancer.routing.need import RouteNeed
from balancer.routing.policy import FEW


def is_panic(group: Group, ledger: Ledger) -> bool:
    """Whether so many of the group are ejected or on trial that nobody's ejection is heeded."""
    bearable = ledger.panic_share * sum(len(tier.indexes) for tier in group.tiers)
    if ledger.gated <= bearable:
        return False
    return sum(_gated(tier, ledger) for tier in group.tiers) > bearable


def only_ejected(group: Group, ledger: Ledger, need: RouteNeed) -> bool:
    """Whether everybody who could take this request if they had a slot is ejected; a trial is worth waiting for."""
    until = ledger.shut_until
    return all(0.0 < until[index] < math.inf for tier in group.tiers for index in possible(tier, need))


def _gated(tier: Tier, ledger: Ledger) -> int:
    if len(tier.indexes) > FEW:
        return int(np.count_nonzero(ledger.gate_np[tier.indexes_np] != IN_SERVICE))
    gate = ledger.gate
    return sum(gate[index] != IN_SERVICE for index in tier.indexes)
