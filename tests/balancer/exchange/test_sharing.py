"""Who asks what is being answered already shares that answer."""

from __future__ import annotations

from typing import Any

import pytest

from balancer import errors
from balancer.exchange.state import State
from balancer.exchange.timeline import Limits
from balancer.wire.dialect import Usage
from balancer.wire.sse import event
from balancer.wire.whole import parse_whole, whole_body, whole_text
from tests.fakes import Hall, RecordingSink

BROKEN = errors.backend_failed("x", "connection reset")


def a_hall(**limits: float) -> Hall:
    hall = Hall(cache=True, limits=Limits(**limits))
    hall.join("a")
    hall.join("b")
    return hall


def sinks(hall: Hall, count: int, **changes: Any) -> list[RecordingSink]:
    return [hall.ask(**changes)[1] for _ in range(count)]


def cache_parts(asked: list[RecordingSink]) -> list[str]:
    return [sink.outcome.cache for sink in asked if sink.outcome is not None]


def test_two_hundred_equal_questions_at_once_are_one_call() -> None:
    hall = a_hall()
    asked = sinks(hall, 200)
    assert len(hall.calls) == 1 and hall.in_flight() == 1
    hall.calls[0].answer("Once ", "upon")
    assert {sink.text for sink in asked} == {"Once upon"}
    assert cache_parts(asked) == ["miss"] + ["joined"] * 199
    assert {sink.endings for sink in asked} == {1}
    assert hall.dispatcher.active == 0 and hall.dispatcher.counts["completed"] == 200
    assert hall.dispatcher.flights is not None and len(hall.dispatcher.flights) == 0


def test_who_joins_late_is_told_at_once_what_was_told_so_far() -> None:
    hall = a_hall()
    _, first = hall.ask()
    hall.calls[0].say("Once ", "upon ")
    _, late = hall.ask()
    assert late.text == "Once upon " and late.openings[0].cache == "joined"
    hall.calls[0].answer("a time")
    assert first.text == late.text == "Once upon a time"
    assert late.outcome is not None and late.outcome.backend == first.openings[0].backend


def test_the_next_one_after_the_end_is_answered_by_the_cache() -> None:
    hall = a_hall()
    sinks(hall, 2)
    hall.calls[0].answer("x")
    _, after = hall.ask()
    assert after.outcome is not None and after.outcome.cache == "exact" and len(hall.calls) == 1


@pytest.mark.parametrize(
    "changes",
    [{"tenant": "other"}, {"body": {"prompt": "hello", "max_tokens": 3}}, {"cache": "bypass"}, {"first_token_s": 1.0}],
)
def test_whose_answer_could_be_another_one_asks_for_himself(changes: dict[str, Any]) -> None:
    hall = a_hall()
    hall.ask()
    hall.ask(**changes)
    assert len(hall.calls) == 2


def test_nobody_joins_one_who_said_that_nothing_shall_be_kept() -> None:
    hall = a_hall()
    hall.ask(cache="bypass")
    hall.ask()
    assert len(hall.calls) == 2


def test_a_stream_and_an_answer_in_one_piece_are_not_shared() -> None:
    hall = a_hall()
    hall.ask()
    hall.ask(stream=False)
    assert len(hall.calls) == 2, "what is gathered from a stream may lack what a whole answer tells"


def test_an_answer_in_one_piece_is_shared_in_one_piece() -> None:
    hall = a_hall()
    asked = sinks(hall, 3, stream=False)
    hall.calls[0].answer_whole(whole_body("completions", "id", "m", 0, "x", "stop", Usage(1, 1, 2)))
    assert [whole_text(parse_whole(sink.body)) for sink in asked] == ["x"] * 3
    assert cache_parts(asked) == ["miss", "joined", "joined"]


def test_when_the_first_one_leaves_it_goes_on_for_the_others() -> None:
    hall = a_hall()
    leader, first = hall.ask()
    _, other = hall.ask()
    hall.calls[0].say("Once ")
    assert leader is not None
    leader.cancel()
    leader.cancel()
    assert hall.calls[0].running and hall.dispatcher.counts["cancelled"] == 1
    _, late = hall.ask()
    hall.calls[0].answer("upon")
    assert first.endings == 0 and first.text == "Once "
    assert other.text == late.text == "Once upon"
    counts = hall.dispatcher.counts
    assert (counts["requests"], counts["completed"], counts["cancelled"]) == (3, 2, 1)
    assert hall.dispatcher.active == 0 and hall.in_flight() == 0


def test_when_all_have_left_the_backend_is_stopped() -> None:
    hall = a_hall()
    asked = [hall.ask()[0] for _ in range(3)]
    for exchange in asked:
        assert exchange is not None
        exchange.cancel()
    assert hall.calls[0].cancelled and hall.in_flight() == 0 and hall.dispatcher.active == 0
    assert hall.dispatcher.counts["cancelled"] == 3


def test_when_the_others_have_left_the_first_one_goes_on() -> None:
    hall = a_hall()
    _, first = hall.ask()
    other = hall.ask()[0]
    assert other is not None
    other.cancel()
    hall.calls[0].answer("x")
    assert first.text == "x" and first.endings == 1


def test_each_has_its_own_deadline() -> None:
    hall = a_hall(request_s=10.0)
    _, patient = hall.ask("q", deadline_s=2.0)
    hall.pass_time(1.0)
    _, other = hall.ask("q", deadline_s=5.0)
    _, hasty = hall.ask("q", deadline_s=0.5)
    hall.pass_time(1.5)
    assert patient.code == hasty.code == "deadline_passed" and other.endings == 0
    hall.calls[0].answer("x")
    assert other.text == "x"
    assert hall.dispatcher.active == 0


def test_who_joins_is_not_bound_to_the_time_that_the_first_one_has_to_wait() -> None:
    hall = Hall(cache=True, limits=Limits(queue_s=30.0))
    hall.join("a", slots=1)
    hall.ask("busy", cache="bypass")
    _, hasty = hall.ask("q", deadline_s=2.0)
    leader, _ = hall.ask("r", deadline_s=2.0)
    _, patient = hall.ask("q")
    _, heir = hall.ask("r")
    assert leader is not None
    leader.cancel()
    hall.pass_time(3.0)
    assert hasty.code == "deadline_passed" and patient.endings == heir.endings == 0
    for call in range(3):
        hall.calls[call].answer("x")
    assert patient.text == heir.text == "x"


def test_a_flight_without_its_first_one_has_the_time_of_who_comes_last() -> None:
    hall = a_hall(request_s=10.0)
    leader, _ = hall.ask("q")
    _, early = hall.ask("q", deadline_s=5.0)
    assert leader is not None
    leader.cancel()
    hall.pass_time(2.0)
    _, late = hall.ask("q", deadline_s=5.0)
    hall.pass_time(4.0)
    assert early.code == "deadline_passed" and late.endings == 0
    hall.calls[0].answer("x")
    assert late.text == "x" and hall.dispatcher.active == 0


def test_a_flight_without_its_first_one_ends_at_the_last_deadline() -> None:
    hall = a_hall(request_s=10.0)
    leader, _ = hall.ask("q")
    _, other = hall.ask("q", deadline_s=3.0)
    assert leader is not None
    leader.cancel()
    hall.pass_time(3.5)
    assert other.code == "deadline_passed" and hall.calls[0].cancelled and hall.dispatcher.active == 0


def test_a_backend_that_dies_is_made_up_for_once_for_all() -> None:
    hall = a_hall()
    asked = sinks(hall, 3)
    hall.calls[0].say("Once ")
    hall.calls[0].fail(BROKEN)
    assert len(hall.calls) == 2
    hall.calls[1].answer("upon")
    assert {sink.text for sink in asked} == {"Once upon"}
    assert all(len(sink.openings) == 2 and sink.openings[1].resumed for sink in asked)


def test_who_joins_between_two_backends_misses_nothing() -> None:
    hall = Hall(cache=True)
    hall.join("a", slots=1)
    hall.join("b", slots=1)
    _, first = hall.ask()
    hall.ask("other")
    hall.calls[0].say("Once ")
    hall.leave(hall.calls[0].backend)
    _, late = hall.ask()
    assert late.text == "Once " and len(hall.calls) == 2, "it waits for the other one's slot"
    hall.calls[1].answer("x")
    hall.calls[2].answer("upon")
    assert first.text == late.text == "Once upon"


def test_who_joins_before_the_first_word_is_told_the_role() -> None:
    hall = a_hall()
    body = {"messages": [{"role": "user", "content": "hello"}]}
    hall.ask(endpoint="chat", body=body)
    hall.calls[0].send(
        event(b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')
    )
    _, late = hall.ask(endpoint="chat", body=body)
    assert b'"role":"assistant"' in late.raw and len(hall.calls) == 1


def test_what_fails_for_good_fails_for_all() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    asked = sinks(hall, 3)
    hall.calls[0].fail(BROKEN)
    assert all(sink.code == BROKEN.code and sink.endings == 1 for sink in asked)
    assert hall.dispatcher.active == 0


def test_a_slow_reader_does_not_hold_up_the_others_and_misses_nothing() -> None:
    hall = a_hall()
    slow, slowly = hall.ask()
    _, quickly = hall.ask()
    assert slow is not None
    slow.pause()
    hall.calls[0].say("Once ")
    assert not hall.calls[0].paused and quickly.text == "Once " and slowly.text == ""
    slow.resume()
    assert slowly.text == "Once "
    slow.pause()
    hall.calls[0].answer("upon")
    assert slowly.text == quickly.text == "Once upon"


def test_a_pause_ends_when_somebody_joins() -> None:
    hall = a_hall()
    slow, slowly = hall.ask()
    assert slow is not None
    slow.pause()
    assert hall.calls[0].paused
    _, quickly = hall.ask()
    assert not hall.calls[0].paused
    hall.calls[0].answer("x")
    assert quickly.text == slowly.text == "x"


@pytest.mark.parametrize("leads", [True, False])
def test_who_reads_far_too_slowly_is_cut_alone(leads: bool) -> None:
    hall = a_hall()
    pairs = [hall.ask(), hall.ask()]
    (slow, slowly), (_, quickly) = pairs if leads else reversed(pairs)
    assert slow is not None
    slow.pause()
    for _ in range(3):
        hall.calls[0].say("x" * 100_000)
    assert slowly.code == "client_too_slow" and slowly.endings == 1
    hall.calls[0].answer("y")
    assert quickly.text.endswith("y") and quickly.endings == 1


def test_who_waits_together_hears_of_the_queue_together() -> None:
    hall = Hall(cache=True)
    hall.join("a", slots=1)
    hall.ask("other")
    asked = sinks(hall, 2)
    hall.dispatcher.tell_positions()
    assert [sink.positions for sink in asked] == [[1], [1]]
    hall.calls[0].answer("x")
    hall.calls[1].answer("y")
    assert {sink.text for sink in asked} == {"y"}


def test_what_is_no_plain_text_cannot_be_joined_late() -> None:
    hall = a_hall()
    hall.ask()
    hall.calls[0].send(event(b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}'))
    late = hall.ask()[0]
    assert len(hall.calls) == 2 and late is not None and late.state is State.ASKING
