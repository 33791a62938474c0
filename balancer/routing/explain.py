"""Why a request goes where it goes: who may take it, what keeps the others from it, what the policy weighs.

It looks at what `Router.route` would look at, chooses nobody and changes nothing, so it is to be called before the
lease, which changes the numbers. It costs a look at every backend: for those who ask, never on the common way.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from balancer.pool.backend import CLASSIC_MODEL, State
from balancer.pool.ledger import SHUT, Ledger
from balancer.pool.view import CONVERTIBLE, Group, PoolBackend, PoolView, Tier
from balancer.routing.eligible import eligible
from balancer.routing.need import RouteNeed
from balancer.routing.panic import is_panic, only_ejected
from balancer.routing.policy import Parts, parts_of
from balancer.routing.select import Router

HEADER_MAX_BYTES: Final = 4096
_DIGITS: Final = 4

WHYS: Final = {
    "model": "does not offer the model",
    "endpoint": "does not serve the endpoint",
    "resume": "cannot go on with an answer",
    "joining": "is not ready",
    "dead": "is silent",
    "draining": "finishes what it has",
    "failed": "failed this request already",
    "prompt": "cannot read so long a prompt",
    "slots": "all slots are taken",
    "busy": "said that it is at its limit",
    "breaker": "is ejected, or its trial is under way",
    "suspect": "is asked when nobody alive has a slot",
    "converted": "is asked when nobody who serves the endpoint itself has a slot",
    "label": "is asked when nobody preferred has a slot",
}
"""What can keep a backend from a request, in words. The last three do so only while there is somebody better."""


class Eligible(NamedTuple):
    """One that may take the request."""

    name: str
    in_flight: int
    slots: int
    weight: float
    ramp: float
    """What part of its weight counts while it is eased in; 1: all of it."""
    score: Parts


class Filtered(NamedTuple):
    """One that may not."""

    name: str
    why: str
    """A key of `WHYS`."""
    detail: str = ""


@dataclass(slots=True)
class Explanation:
    """Of one decision."""

    policy: str
    model: str
    endpoint: str
    eligible: list[Eligible] = field(default_factory=list)
    """The least cost first, where the policy tells one."""
    filtered: list[Filtered] = field(default_factory=list)
    choice: str | None = None
    """Who was chosen, or would be now; ``None``: nobody can be, or chance and turns decide."""

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**self._head(), "eligible": [_told(e) for e in self.eligible], "filtered": self._filtered()}

    def header(self) -> str:
        """As compact ASCII JSON of at most `HEADER_MAX_BYTES`; ``more`` tells how many backends it leaves out."""
        head = {**self._head(), "more": len(self.eligible) + len(self.filtered)}
        size = len(_compact({**head, "eligible": [], "filtered": []}))
        first = sorted(self.eligible, key=lambda one: one.name != self.choice)
        kept: dict[str, list[Any]] = {"eligible": [], "filtered": []}
        for kind, told in (
            *(("eligible", _told(one)) for one in first),
            *(("filtered", one) for one in self._filtered()),
        ):
            size += len(_compact(told)) + 1
            if size > HEADER_MAX_BYTES:
                break
            kept[kind].append(told)
            head["more"] -= 1
        if not head["more"]:
            del head["more"]
        return _compact({**head, **kept})

    def _head(self) -> dict[str, Any]:
        return {"policy": self.policy, "model": self.model, "endpoint": self.endpoint, "choice": self.choice}

    def _filtered(self) -> list[dict[str, str]]:
        return [
            {"name": one.name, "why": one.why, **({"detail": one.detail} if one.detail else {})}
            for one in self.filtered
        ]


def explain(
    router: Router, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, *, if_any: bool = False
) -> Explanation:
    """What `router` would weigh now. ``if_any``: nothing is told, at little cost, while nobody may take the request."""
    found = Explanation(router.policy.name, need.model, need.endpoint)
    group = router.group(view, need)
    gated = ledger.gated > 0 and not is_panic(group, ledger)
    tier, candidates = _first_tier(group, ledger, need, now, gated)
    if tier is None and gated and only_ejected(group, ledger, need):
        gated = False
        tier, candidates = _first_tier(group, ledger, need, now, gated)
    if if_any and not candidates:
        return found
    parts = parts_of(router.policy, candidates, view, ledger, need, now) if candidates else []
    scores = dict(zip(candidates, parts, strict=True))
    for backend in view.backends:
        index = backend.index
        if index in scores:
            found.eligible.append(_eligible(backend, ledger, scores[index]))
        else:
            found.filtered.append(_why_not(backend, ledger, need, now, gated))
    found.eligible.sort(key=lambda one: (one.score.get("cost", 0.0), one.name))
    found.filtered.sort(key=lambda one: one.name)
    found.choice = _least(found.eligible)
    return found


def _first_tier(
    group: Group, ledger: Ledger, need: RouteNeed, now: float, gated: bool
) -> tuple[Tier | None, list[int]]:
    for tier in group.tiers:
        found = [int(index) for index in eligible(tier, ledger, need, now, gated)]
        if found:
            return tier, found
    return None, []


def _eligible(backend: PoolBackend, ledger: Ledger, score: Parts) -> Eligible:
    index = backend.index
    rounded = {name: _rounded(value) for name, value in score.items()}
    return Eligible(
        backend.spec.name,
        ledger.in_flight[index],
        ledger.slots[index],
        backend.spec.weight,
        round(ledger.share[index], 3),
        rounded,
    )


def _why_not(backend: PoolBackend, ledger: Ledger, need: RouteNeed, now: float, gated: bool) -> Filtered:
    """The first thing that keeps it away, in the order in which a decision looks."""
    spec, index, name = backend.spec, backend.index, backend.spec.name
    if not (spec.offers(need.model) or (not need.named and spec.offers(CLASSIC_MODEL))):
        return Filtered(name, "model")
    converted = need.endpoint not in spec.endpoints
    if converted and CONVERTIBLE.get(need.endpoint) not in spec.endpoints:
        return Filtered(name, "endpoint", need.endpoint)
    if backend.state in (State.JOINING, State.DEAD, State.DRAINING):
        return Filtered(name, backend.state.value)
    if need.resume and not spec.continues(need.endpoint):
        return Filtered(name, "resume")
    if spec.max_prompt_bytes is not None and need.prompt_bytes > spec.max_prompt_bytes:
        return Filtered(name, "prompt", f"{need.prompt_bytes} of {spec.max_prompt_bytes} bytes")
    if spec.process in need.exclude:
        return Filtered(name, "failed")
    if ledger.in_flight[index] >= ledger.slots[index]:
        return Filtered(name, "slots", f"{ledger.in_flight[index]} of {ledger.slots[index]}")
    if ledger.busy_until[index] > now:
        return Filtered(name, "busy", f"{ledger.busy_until[index] - now:.2f} s")
    if gated and ledger.gate[index] == SHUT:
        until = ledger.shut_until[index]
        return Filtered(name, "breaker", f"{max(until - now, 0.0):.1f} s" if until < math.inf else "on trial")
    if backend.state is State.SUSPECT:
        return Filtered(name, "suspect")
    return Filtered(name, "converted" if converted else "label")


def _least(found: list[Eligible]) -> str | None:
    """The one of least cost, or the only one."""
    if len(found) == 1:
        return found[0].name
    costs = sorted(one.score["cost"] for one in found if "cost" in one.score)
    if not found or len(costs) < len(found) or costs[0] == costs[1]:
        return None
    return found[0].name


def _told(one: Eligible) -> dict[str, Any]:
    ramp = {"ramp": one.ramp} if one.ramp < 1 else {}
    score = {"score": one.score} if one.score else {}
    return {"name": one.name, "in_flight": one.in_flight, "slots": one.slots, "weight": one.weight, **ramp, **score}


def _rounded(value: float) -> float:
    """JSON has no infinity; and more digits than these tell nothing."""
    if not math.isfinite(value):
        return math.copysign(1e308, value) if value == value else 0.0
    return float(f"{value:.{_DIGITS}g}")


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
