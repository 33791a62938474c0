from __future__ import annotations

import logging

import pytest

from balancer import errors
from balancer.exchange.dispatcher import COUNTERS_MAX
from balancer.exchange.timeline import Limits
from tests.fakes import Hall


def test_without_any_backend_the_answer_is_immediate_and_worth_another_try() -> None:
    hall = Hall()
    exchange, sink = hall.ask()
    assert exchange is None
    assert sink.failure is not None
    assert (sink.failure.code, sink.failure.status) == ("no_backend", 503)
    assert sink.failure.retry_after_s is not None
    assert hall.dispatcher.active == 0


def test_a_backend_that_is_not_ready_yet_is_no_backend() -> None:
    hall = Hall()
    hall.join("a", alive=False)
    _, sink = hall.ask()
    assert sink.code == "no_backend"


def test_an_unknown_model_is_final_only_after_the_start_and_only_if_never_seen() -> None:
    hall = Hall()
    hall.join("a")
    _, early = hall.ask(model="other")
    assert early.code == "no_backend"
    hall.clock.now += 11.0
    hall.beat("a")
    _, unknown = hall.ask(model="other")
    assert unknown.code == "model_not_found"
    hall.join("b", model="other")
    hall.leave("b")
    _, gone = hall.ask(model="other")
    assert gone.code == "no_backend"
    hall.clock.now += 601.0
    _, forgotten = hall.ask(model="other")
    assert forgotten.code == "model_not_found"


def test_an_unknown_model_is_not_final_while_a_configured_backend_has_yet_to_list_its_models() -> None:
    hall = Hall()
    hall.join("a")
    hall.join("loading", kind="upstream", models=(), alive=False)
    hall.clock.now += 60.0
    _, refused = hall.ask(model="other")
    assert refused.failure is not None
    assert (refused.failure.code, refused.failure.status) == ("no_backend", 503)
    assert refused.failure.retry_after_s is not None
    hall.join("loading", kind="upstream", model="m")
    _, unknown = hall.ask(model="other")
    assert unknown.code == "model_not_found"


def test_a_request_without_a_model_takes_the_default() -> None:
    hall = Hall(default_model="n")
    hall.join("a")
    hall.join("b", model="n")
    hall.ask()
    assert hall.calls[0].model == "n"


def test_requests_spread_over_backends_within_their_slots() -> None:
    hall = Hall(policy="round-robin")
    for name in "abc":
        hall.join(name, slots=2)
    for _ in range(9):
        hall.ask()
    assert sorted(call.backend for call in hall.calls) == ["a", "a", "b", "b", "c", "c"]
    assert len(hall.queue) == 3


def test_who_stops_takes_nothing_new_and_lets_what_runs_go_on() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    _, running = hall.ask("first")
    _, waiting = hall.ask("second")
    hall.dispatcher.stop()
    _, refused = hall.ask("third")
    assert refused.code == "shutting_down"
    hall.calls[0].answer("x")
    assert running.text == "x"
    hall.dispatcher.abort()
    assert waiting.code == "shutting_down"
    assert hall.calls[1].cancelled
    assert hall.dispatcher.active == 0
    assert hall.in_flight() == 0


def test_the_time_to_try_again_follows_the_pace_and_the_queue() -> None:
    hall = Hall(limits=Limits(queue_s=1000.0))
    hall.join("a", slots=1)
    for _ in range(50):
        hall.ask()
        hall.clock.now += 4.0
        hall.upstream.running[0].answer("x")
    empty = hall.dispatcher.retry_after_s()
    assert 3.0 < empty <= 4.0
    for _ in range(6):
        hall.ask()
    assert hall.dispatcher.retry_after_s() == pytest.approx(6 * empty, rel=0.05)
    for _ in range(200):
        hall.ask()
    assert hall.dispatcher.retry_after_s() == 120.0


def test_exchanges_are_counted_by_state_and_by_end() -> None:
    hall = Hall()
    hall.join("a", slots=2)
    for _ in range(3):
        hall.ask()
    hall.calls[0].say("x")
    states = hall.dispatcher.count_states()
    assert (states["asking"], states["streaming"], states["queued"]) == (1, 1, 1)
    hall.calls[0].answer("y")
    hall.calls[1].fail(errors.rejected("no", "invalid_value", 400))
    counts = hall.dispatcher.counts
    assert (counts["requests"], counts["completed"], counts["failed.invalid_value"]) == (3, 1, 1)


def test_codes_that_engines_make_up_do_not_grow_the_counters_without_bound() -> None:
    hall = Hall()
    hall.join("a")
    for number in range(2 * COUNTERS_MAX):
        hall.ask()
        hall.upstream.running[0].fail(errors.rejected("no", f"code-{number}", 400))
    counts = hall.dispatcher.counts
    assert len(counts) <= COUNTERS_MAX + 1
    assert counts["failed.other"] > 0
    assert sum(n for name, n in counts.items() if name.startswith("failed.")) == 2 * COUNTERS_MAX


def test_what_an_engine_says_is_logged_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    hall = Hall()
    hall.join("a")
    hall.ask()
    with caplog.at_level(logging.WARNING):
        hall.calls[0].fail(errors.backend_failed("a", "boom\n2026-01-01 INFO forged" + "x" * 5000))
    (line,) = caplog.messages
    assert "\n" not in line
    assert len(line) < 500


def test_health_of_the_clock_is_the_dispatchers_own() -> None:
    hall = Hall()
    hall.clock.now += 42.0
    assert hall.dispatcher.uptime_s == 42.0


def test_a_backend_is_heard_of_by_the_tokens_that_come_from_it() -> None:
    hall = Hall()
    hall.join("a")
    hall.ask()
    assert not hall.dispatcher.heard_since("a", -1.0), "asking is no sign of life"
    hall.pass_time(1.0)
    hall.calls[0].say("x")
    now = hall.clock.now
    assert hall.dispatcher.heard_since("a", now - 0.5) and not hall.dispatcher.heard_since("b", now - 0.5)
    hall.pass_time(1.0)
    assert not hall.dispatcher.heard_since("a", now + 0.5)
