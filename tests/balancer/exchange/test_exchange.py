"""Stories of one request: real pool, routing and queue, backends that do what the story says."""

from __future__ import annotations

import pytest

from balancer import errors
from balancer.exchange.state import State
from balancer.exchange.timeline import Limits
from balancer.wire.whole import whole_body
from tests.balancer.exchange.stories import BROKEN, two_backends
from tests.fakes import Hall, RecordingSink, last_events

# --- the usual way


def test_an_answer_streams_and_its_slot_is_given_back() -> None:
    hall = Hall()
    hall.join("a")
    exchange, sink = hall.ask()
    assert exchange is not None and exchange.state is State.ASKING
    (call,) = hall.calls
    call.say("Once ")
    assert sink.text == "Once "
    assert hall.in_flight() == 1
    hall.clock.now += 2.0
    call.answer("upon")
    assert sink.text == "Once upon"
    assert sink.outcome is not None
    assert (sink.outcome.backend, sink.outcome.cache, sink.outcome.attempts) == ("a", "off", 1)
    assert sink.outcome.total_s == 2.0
    assert hall.in_flight() == 0
    assert hall.dispatcher.active == 0


def test_the_bytes_of_a_stream_are_relayed_untouched() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask()
    odd = b': comment\r\n\r\nid: 7\r\ndata:{"choices":[{"text":"x"}],"extra":1}\r\n\r\n'
    hall.calls[0].send(odd)
    assert sink.raw == odd


WHOLE = whole_body("completions", "id", "m", 0, "Once upon", "stop", None)


# --- in one piece


def test_an_answer_in_one_piece_goes_on_as_it_came_and_its_slot_is_given_back() -> None:
    hall = Hall()
    hall.join("a")
    exchange, sink = hall.ask(stream=False)
    hall.calls[0].answer_whole(WHOLE)
    assert exchange is not None and exchange.state is State.COMPLETE
    assert sink.body == WHOLE and sink.raw == b""
    assert [opening.backend for opening in sink.openings] == ["a"]
    assert sink.outcome is not None and sink.outcome.attempts == 1
    assert hall.in_flight() == 0 and hall.dispatcher.active == 0


def test_one_that_cannot_be_read_is_asked_for_elsewhere() -> None:
    hall = two_backends()
    _, sink = hall.ask(stream=False)
    hall.calls[0].answer_whole(b'{"error":{"message":"out of memory"}}')
    assert hall.calls[0].cancelled
    hall.calls[1].answer_whole(WHOLE)
    assert sink.body == WHOLE
    assert [opening.attempts for opening in sink.openings] == [2]


def test_one_that_nobody_can_give_is_an_error() -> None:
    hall = two_backends()
    _, sink = hall.ask(stream=False)
    for n in range(2):
        hall.calls[n].answer_whole(b"<html>")
    assert sink.code == "backend_failed" and sink.body == b"" and sink.endings == 1
    assert hall.in_flight() == 0


def test_an_answer_in_one_piece_is_kept_and_serves_who_wants_events() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("what is a lion", stream=False)
    hall.calls[0].answer_whole(WHOLE)
    _, sink = hall.ask("what is a lion")
    assert len(hall.calls) == 1
    assert sink.text == "Once upon" and sink.outcome is not None and sink.outcome.cache == "exact"


def test_one_that_was_cut_short_is_not_kept() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("what is a lion", stream=False)
    hall.calls[0].answer_whole(whole_body("completions", "id", "m", 0, "Once", "length", None))
    assert len(hall.store) == 0


def test_who_left_gets_nothing_of_it() -> None:
    hall = Hall()
    hall.join("a")
    exchange, sink = hall.ask(stream=False)
    assert exchange is not None
    exchange.cancel()
    assert hall.calls[0].cancelled and sink.endings == 0 and hall.in_flight() == 0


def test_it_may_take_as_long_as_the_request_may_but_no_longer() -> None:
    hall = Hall(limits=Limits(first_token_s=1.0, between_tokens_s=1.0, request_s=10.0))
    hall.join("a")
    _, sink = hall.ask(stream=False)
    hall.pass_time(9.0)
    assert sink.endings == 0
    hall.pass_time(2.0)
    assert sink.code == "deadline_passed" and hall.calls[0].cancelled


# --- after the first byte


def test_a_failure_after_the_first_byte_is_an_explicit_error_where_nobody_may_go_on() -> None:
    hall = two_backends(cache=True)
    _, sink = hall.ask(resumable=False)
    hall.calls[0].say("half an ")
    hall.calls[0].fail(BROKEN)
    assert sink.failure is BROKEN
    assert len(hall.calls) == 1
    assert len(hall.store) == 0
    assert hall.in_flight() == 0


def test_events_that_cannot_be_read_mid_stream_are_the_backends_failure() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].say("x")
    sink.refuses = "no chunk"
    hall.calls[0].say("y")
    assert hall.calls[0].cancelled
    sink.refuses = None
    hall.calls[1].answer("z")
    assert sink.text == "xz", "what could not be read was not relayed, and another backend goes on"
    assert hall.in_flight() == 0


def test_a_stall_mid_stream_is_ended_by_the_time_between_tokens() -> None:
    hall = Hall(limits=Limits(between_tokens_s=5.0))
    hall.join("a")
    _, sink = hall.ask()
    for _ in range(4):
        hall.calls[0].say("x")
        hall.pass_time(4.0)
    assert sink.endings == 0
    hall.pass_time(2.0)
    assert sink.code == "backend_timeout"
    assert hall.calls[0].cancelled
    assert hall.in_flight() == 0


# --- a backend that dies


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_a_dead_backends_exchanges_end_at_that_instant(how: str) -> None:
    hall = two_backends()
    _, asking = hall.ask("asking")
    (call,) = hall.calls
    hall.join("c", slots=1)
    name = call.backend
    if how == "silent":
        before = hall.clock.now
        while not call.cancelled:
            for other in hall.leases:
                if other != name:
                    hall.beat(other)
            hall.pass_time(0.25, beats=False)
        assert hall.clock.now - before <= 4.0
    else:
        hall.leave(name)
    assert call.cancelled
    assert len(hall.calls) == 2, "tried elsewhere at once"
    hall.calls[1].say("half")
    hall.leave(hall.calls[1].backend)
    assert len(hall.calls) == 3, "and gone on with at once"
    hall.calls[2].answer(" an hour")
    assert asking.text == "half an hour"
    assert hall.in_flight() == 0


def test_a_backend_that_restarts_ends_what_it_was_doing() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask(resumable=False)
    hall.calls[0].say("half")
    hall.join("a", instance="a-2", alive=False)
    assert sink.code == "backend_lost"


def test_a_backend_that_only_lost_its_connection_for_a_moment_goes_on() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].say("one ")
    hall.join("a", alive=False)  # the same process, a new connection
    hall.calls[0].answer("two")
    assert sink.text == "one two"
    assert hall.in_flight() == 0


def test_a_draining_backend_finishes_what_it_has_and_gets_nothing_new() -> None:
    hall = Hall()
    hall.join("a")
    sinks = [hall.ask(f"q{i}")[1] for i in range(4)]
    hall.dispatcher.pool_changed(hall.registry.drain("a", hall.clock.now))
    _, refused = hall.ask("new")
    assert refused.code == "no_backend"
    for call in hall.calls:
        call.answer("x")
    assert [sink.text for sink in sinks] == ["x"] * 4


# --- whatever else may happen


def test_a_sink_that_ends_another_exchange_while_it_is_told_does_no_harm() -> None:
    hall = Hall(limits=Limits(first_token_s=1.0))
    hall.join("a", slots=1, endpoints=frozenset({"completions"}))
    hall.join("b", slots=1)
    second = hall.ask("second")[0]

    class Meddler(RecordingSink):
        def failed(self, failure: errors.Failure) -> None:
            super().failed(failure)
            assert second is not None
            second.cancel()

    meddler = Meddler()
    hall.dispatcher.begin(hall.request("first"), meddler)
    hall.dispatcher.limits = Limits(request_s=0.5)
    hall.dispatcher.abort()
    assert meddler.endings == 1
    assert hall.in_flight() == 0


def test_the_end_of_an_answer_and_its_text_may_come_in_one_piece() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].send(last_events())
    hall.calls[0].over = True
    hall.calls[0].receiver.on_end()
    assert sink.outcome is not None
    assert sink.text == ""
    assert len(hall.store) == 0, "an empty answer is not worth keeping"


def test_a_request_keeps_the_limits_it_began_with() -> None:
    hall = Hall(limits=Limits(first_token_s=100.0))
    hall.join("a")
    _, sink = hall.ask()
    hall.pass_time(20.0)
    hall.dispatcher.limits = Limits(first_token_s=10.0)
    hall.pass_time(1.0)
    assert sink.endings == 0
    _, later = hall.ask()
    hall.pass_time(11.0)
    assert later.code == "backend_timeout" and sink.endings == 0
