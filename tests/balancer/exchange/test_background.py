from __future__ import annotations

import pytest

from balancer import errors
from balancer.exchange.background import BackgroundRequest, has_idle_slot
from balancer.exchange.journal import Answer
from balancer.pool.backend import ModelInfo
from tests.fakes import Hall


class Asking:
    """A hall, a request of our own in it, and what was heard of it."""

    def __init__(self, *, stream: bool = True) -> None:
        self.hall = Hall()
        self.hall.join("a", slots=1)
        self.heard: list[Answer | None] = []
        self.background = BackgroundRequest(self.heard.append)
        self.background.begin(self.hall.dispatcher, self.hall.request(stream=stream))


def test_a_streamed_answer_is_gathered() -> None:
    asking = Asking()
    asking.hall.calls[0].answer("a ", "cat")
    assert [answer.text for answer in asking.heard if answer is not None] == ["a cat"]
    assert asking.hall.in_flight() == 0


def test_a_whole_answer_is_read() -> None:
    asking = Asking(stream=False)
    asking.hall.calls[0].answer_whole(b'{"model":"m","choices":[{"index":0,"text":"a cat","finish_reason":"stop"}]}')
    assert [answer.text for answer in asking.heard if answer is not None] == ["a cat"]


def test_an_answer_that_was_cut_short_is_none() -> None:
    asking = Asking()
    asking.hall.calls[0].say("a ")
    asking.hall.calls[0].finish("length")
    assert asking.heard == [None]


def test_a_failure_is_none() -> None:
    asking = Asking()
    asking.hall.calls[0].fail(errors.rejected("no", None, 400))
    assert asking.heard == [None]


def test_a_cancelled_one_gives_its_slot_back_and_is_heard_no_more() -> None:
    asking = Asking()
    asking.background.cancel()
    asking.background.cancel()
    assert asking.hall.in_flight() == 0 and asking.hall.calls[0].cancelled and asking.heard == []


def test_one_that_is_cancelled_from_within_its_beginning_leaves_nothing_behind() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.ask("first")
    background = BackgroundRequest(lambda answer: pytest.fail("it was cancelled"))
    hall.dispatcher.on_wait = background.cancel
    background.begin(hall.dispatcher, hall.request("second"))
    assert (len(hall.queue), hall.dispatcher.active) == (0, 1)


def test_a_slot_is_idle_where_nobody_waits_and_the_model_has_one() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    assert has_idle_slot(hall.dispatcher, "m", "completions")
    assert has_idle_slot(hall.dispatcher, "m", "chat")
    assert not has_idle_slot(hall.dispatcher, "other", "completions")
    hall.ask()
    assert not has_idle_slot(hall.dispatcher, "m", "completions")


def test_no_slot_is_idle_while_somebody_waits_or_the_daemon_stops() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.join("b", slots=4, models=(ModelInfo("other"),))
    hall.ask(model="m")
    hall.ask(model="m")
    assert len(hall.queue) == 1 and not has_idle_slot(hall.dispatcher, "other", "completions")
    hall.calls[0].answer("x")
    hall.calls[1].answer("y")
    assert has_idle_slot(hall.dispatcher, "other", "completions")
    hall.dispatcher.stop()
    assert not has_idle_slot(hall.dispatcher, "other", "completions")
