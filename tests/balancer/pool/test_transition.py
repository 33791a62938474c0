from __future__ import annotations

import pytest

from balancer.pool.backend import State
from balancer.pool.transition import Reason, Transition, reason_of


@pytest.mark.parametrize(
    ("new", "reason", "ends"),
    [
        (State.DEAD, Reason.SILENT, True),
        (None, Reason.LEFT, True),
        (None, Reason.FORGOTTEN, True),
        (State.JOINING, Reason.RESTARTED, True),
        (State.JOINING, Reason.NOT_READY, False),
        (State.SUSPECT, Reason.SILENT, False),
        (State.DRAINING, Reason.DRAIN, False),
    ],
)
def test_exchanges_end_with_death_departure_and_restart_only(new: State | None, reason: Reason, ends: bool) -> None:
    assert Transition("a", 0, 1, 7, State.ALIVE, new, reason).ends_exchanges is ends


def test_a_drained_backend_that_leaves_ends_no_exchange() -> None:
    """Its streams are complete, but the last of them may not have been read yet."""
    assert not Transition("a", 0, 1, 7, State.DRAINING, None, Reason.LEFT).ends_exchanges
    assert Transition("a", 0, 1, 7, State.DRAINING, State.DEAD, Reason.SILENT).ends_exchanges


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (State.JOINING, State.ALIVE, Reason.READY),
        (State.ALIVE, State.JOINING, Reason.NOT_READY),
        (State.ALIVE, State.DRAINING, Reason.DRAIN),
        (State.DRAINING, State.ALIVE, Reason.UNDRAIN),
    ],
)
def test_a_change_that_a_sign_of_life_brings_has_its_reason(old: State, new: State, reason: Reason) -> None:
    assert reason_of(old, new) is reason
