from __future__ import annotations

import pytest

from balancer.exchange.state import TABLE, Event, State, step

LIVE = [state for state in State if state.live]
ENDED = [state for state in State if not state.live]


def test_a_request_that_goes_well() -> None:
    state = State.ARRIVED
    for event in (Event.EMBED, Event.ENQUEUE, Event.LEASE, Event.FIRST, Event.END):
        state = step(state, event)
    assert state is State.COMPLETE


def test_another_backend_may_be_asked_and_may_go_on() -> None:
    assert step(State.ASKING, Event.AGAIN) is State.ARRIVED
    assert step(State.STREAMING, Event.AGAIN) is State.ARRIVED
    with pytest.raises(KeyError):
        step(State.QUEUED, Event.AGAIN)


@pytest.mark.parametrize("state", LIVE)
def test_every_live_state_can_fail_and_be_cancelled(state: State) -> None:
    assert step(state, Event.FAIL) is State.FAILED
    assert step(state, Event.CANCEL) is State.CANCELLED


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("event", list(Event))
def test_nothing_happens_after_the_end(state: State, event: Event) -> None:
    with pytest.raises(KeyError):
        step(state, event)


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {State.ARRIVED} | set(TABLE.values()) == set(State)
