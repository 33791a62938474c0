"""Whether a newcomer may take a name or an address that another backend holds."""

from __future__ import annotations

from balancer.pool.backend import BackendSpec, State
from balancer.pool.member import Member
from balancer.pool.transition import Refused


def is_same_place(member: Member, spec: BackendSpec) -> bool:
    """Whether `spec` is this member starting or connecting anew, rather than a rival for its name."""
    return member.spec.address == spec.address and member.spec.kind == spec.kind


def is_same_process(member: Member, spec: BackendSpec) -> bool:
    """Whether what the member was doing is still being done (an empty instance proves nothing)."""
    return spec.instance != "" and spec.instance == member.spec.instance


def refusal(rival: Member, spec: BackendSpec, reclaim_s: float, now: float) -> Refused | None:
    """Why `spec` can't push `rival` out of the pool; None when it can.

    A name is kept until its holder is dead and `reclaim_s` is over, because a dead one may only be cut off. An
    address is kept until its holder is dead: two processes can't listen on one.
    """
    if rival.dead_at is None:
        wait_s = reclaim_s
    elif rival.spec.name == spec.name:
        wait_s = rival.dead_at + reclaim_s - now
    else:
        wait_s = 0.0
    if wait_s <= 0:
        return None
    held = rival.spec
    what = f"name {held.name!r}" if held.name == spec.name else f"address {held.host}:{held.port}"
    state = "dead since less than the reclaim time" if rival.state is State.DEAD else rival.state.value
    message = f"the {what} belongs to backend {held.name!r} at {held.host}:{held.port}, which is {state}"
    return Refused("conflict", message, wait_s)
