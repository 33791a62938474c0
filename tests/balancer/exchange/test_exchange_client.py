"""Stories of one request: a client that leaves, reads slowly, or has waited long enough."""

from __future__ import annotations

import pytest

from balancer.exchange.state import State
from balancer.exchange.timeline import Limits
from tests.fakes import Hall


@pytest.mark.parametrize("state", [State.QUEUED, State.ASKING, State.STREAMING, State.EMBEDDING])
def test_a_client_that_leaves_frees_all_it_held(state: State) -> None:
    hall = Hall(cache=state is State.EMBEDDING)
    hall.join("a", slots=1)
    if state is State.EMBEDDING:
        hall.ask("known")
        hall.calls[0].answer("x")
        hall.embedder.asked[0].answer(1.0, 0.0)
    if state is State.QUEUED:
        hall.ask("first")
    exchange, sink = hall.ask("second")
    if state is State.STREAMING:
        hall.calls[0].say("x")
    assert exchange is not None and exchange.state is state
    exchange.cancel()
    assert exchange.state is State.CANCELLED
    assert len(hall.queue) == 0
    assert hall.in_flight() == (1 if state is State.QUEUED else 0)
    if state is State.EMBEDDING:
        assert hall.embedder.asked[-1].cancelled
        hall.embedder.asked[-1].answer(0.0, 1.0)
    elif state is not State.QUEUED:
        assert hall.calls[-1].cancelled
    assert sink.endings == 0
    exchange.cancel()
    assert hall.dispatcher.counts["cancelled"] == 1


def test_a_slot_that_a_leaving_client_frees_goes_to_the_first_in_the_queue() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    first, _ = hall.ask("first")
    hall.ask("second")
    assert first is not None
    first.cancel()
    assert hall.calls[-1].request.body["prompt"] == "second"


def test_a_slow_client_pauses_its_backend_and_no_timer_blames_it() -> None:
    hall = Hall(limits=Limits(between_tokens_s=5.0))
    hall.join("a")
    exchange, sink = hall.ask()
    assert exchange is not None
    hall.calls[0].say("x")
    exchange.pause()
    assert hall.calls[0].paused
    hall.pass_time(20.0)
    assert sink.endings == 0
    exchange.resume()
    assert not hall.calls[0].paused
    hall.pass_time(4.0)
    hall.calls[0].answer("y")
    assert sink.text == "xy"


def test_a_client_that_was_slow_while_it_waited_pauses_the_backend_it_gets() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.ask("first")
    second, _ = hall.ask("second")
    assert second is not None
    second.pause()
    hall.calls[0].answer("x")
    assert hall.calls[1].paused


def test_the_whole_request_has_a_deadline_in_every_state() -> None:
    hall = Hall(limits=Limits(request_s=3.0, queue_s=100.0))
    hall.join("a", slots=1)
    _, streaming = hall.ask("first")
    _, queued = hall.ask("second")
    for _ in range(8):
        hall.calls[0].say("x")
        hall.pass_time(0.5, beats=True)
        if streaming.endings:
            break
    assert (streaming.code, queued.code) == ("deadline_passed", "deadline_passed")
    assert hall.in_flight() == 0
    assert len(hall.calls) == 1


def test_a_first_token_that_a_slow_client_kept_from_being_read_is_not_late() -> None:
    hall = Hall(limits=Limits(first_token_s=5.0))
    hall.join("a")
    exchange, sink = hall.ask()
    assert exchange is not None
    exchange.pause()
    hall.pass_time(20.0)
    exchange.resume()
    hall.pass_time(4.0)
    hall.calls[0].answer("x")
    assert sink.text == "x"
