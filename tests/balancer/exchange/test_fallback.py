from __future__ import annotations

import json
from typing import Any

import pytest

from balancer import errors
from balancer.admission.aliases import parse_rules
from balancer.exchange.timeline import Limits
from balancer.request import Wishes
from tests.fakes import Hall

BROKEN = errors.backend_failed("x", "connection reset")


def hall_of(models: dict[str, Any] | None = None, **changes: Any) -> Hall:
    hall = Hall(**changes)
    hall.dispatcher.rules = parse_rules(models if models is not None else {"big": {"fallback": ["mid", "small"]}})
    return hall


def test_an_alias_is_asked_for_by_its_model_and_answers_under_it() -> None:
    hall = hall_of({"gpt-x": "m"})
    hall.join("a")
    _, sink = hall.ask(model="gpt-x")
    hall.calls[0].answer("x")
    assert hall.calls[0].model == "m"
    assert sink.outcome is not None and sink.outcome.model == "m" and sink.openings[0].model == "m"
    assert hall.dispatcher.counts["fallbacks"] == 0


def test_a_name_without_a_rule_tells_nothing_of_models() -> None:
    hall = hall_of()
    hall.join("a")
    _, sink = hall.ask(model="m")
    hall.calls[0].answer("x")
    assert sink.openings[0].model == ""


def test_an_unknown_model_falls_back_at_once() -> None:
    hall = hall_of()
    hall.join("a", model="small")
    _, sink = hall.ask(model="big")
    hall.calls[0].answer("x")
    assert (hall.calls[0].model, sink.openings[0].model) == ("small", "small")
    assert hall.dispatcher.counts["fallbacks"] == 1


def test_a_model_whose_backends_are_not_ready_falls_back() -> None:
    hall = hall_of()
    hall.join("a", model="big", alive=False)
    hall.join("b", model="mid")
    _, sink = hall.ask(model="big")
    hall.calls[0].answer("x")
    assert sink.outcome is not None and (sink.outcome.model, sink.outcome.backend) == ("mid", "b")


def test_all_attempts_that_failed_before_the_first_byte_fall_back() -> None:
    hall = hall_of()
    hall.join("a", model="big")
    hall.join("b", model="mid")
    _, sink = hall.ask(model="big")
    hall.calls[0].fail(BROKEN)
    assert [call.model for call in hall.calls] == ["big", "mid"]
    hall.calls[1].answer("x")
    assert sink.text == "x" and sink.outcome is not None
    assert (sink.outcome.model, sink.outcome.attempts) == ("mid", 2)
    assert hall.in_flight() == 0 and hall.dispatcher.active == 0


def test_who_failed_is_asked_for_another_model_only_if_nobody_else_offers_it() -> None:
    both = {"models": (hall_models("big"), hall_models("mid"))}
    hall = hall_of()
    hall.join("a", **both)
    hall.ask(model="big")
    hall.calls[0].fail(BROKEN)
    assert [(call.backend, call.model) for call in hall.calls] == [("a", "big"), ("a", "mid")]
    hall = hall_of()
    hall.join("a", **both)
    hall.ask(model="big")
    hall.join("b", model="mid")
    for _ in range(2):
        hall.ask(model="mid")  # b has more to do than a, and is still the better choice
    hall.calls[0].fail(BROKEN)
    assert (hall.calls[-1].backend, hall.calls[-1].model) == ("b", "mid")


def hall_models(name: str) -> Any:
    from balancer.pool.backend import ModelInfo

    return ModelInfo(name, 1024)


def test_an_answer_that_broke_in_the_middle_does_not_change_its_model() -> None:
    hall = hall_of()
    hall.join("a", model="big")
    hall.join("b", model="mid")
    _, sink = hall.ask(model="big")
    hall.calls[0].say("half")
    hall.calls[0].fail(BROKEN)
    hall.pass_time(40.0)
    assert sink.code is not None and len(hall.calls) == 1


def test_a_full_queue_falls_back_and_so_does_a_wait_that_is_over() -> None:
    hall = hall_of(queue_size=1, limits=Limits(queue_s=5.0))
    hall.join("a", model="big", slots=1)
    hall.join("b", model="mid")
    hall.ask(model="big")
    _, waits = hall.ask(model="big")
    _, refused = hall.ask(model="big")
    assert hall.calls[-1].model == "mid" and not waits.openings
    hall.calls[-1].answer("x")
    assert refused.text == "x"
    hall.pass_time(6.0)
    hall.calls[-1].answer("y")
    assert waits.text == "y" and waits.outcome is not None and waits.outcome.model == "mid"


def test_when_none_is_left_the_error_is_about_the_model_that_was_asked_for() -> None:
    hall = hall_of()
    hall.join("a", model="big")
    hall.join("b", model="small")
    _, sink = hall.ask(model="big")
    hall.calls[0].fail(errors.backend_failed("a", "the first"))
    hall.calls[1].fail(errors.backend_failed("b", "the second"))
    assert sink.failure is not None and "the first" in sink.failure.message
    assert hall.dispatcher.counts["fallbacks"] == 2  # mid, which nobody offers, too
    assert hall.in_flight() == 0 and hall.dispatcher.active == 0


def test_what_the_engine_refuses_for_good_is_told_as_it_is() -> None:
    hall = hall_of()
    hall.join("a", model="big")
    hall.join("b", model="mid")
    _, sink = hall.ask(model="big")
    hall.calls[0].fail(errors.rejected("too hot", "invalid_value", 400))
    assert sink.code == "invalid_value" and len(hall.calls) == 1


def test_a_client_may_forbid_it_and_may_name_the_model() -> None:
    hall = hall_of({"gpt-x": {"big": 1, "mid": 1}, "big": {"fallback": "mid"}})
    hall.join("a", model="big", alive=False)
    hall.join("b", model="mid")
    _, refused = hall.ask(model="big", wishes=Wishes(fallback=False))
    assert refused.code == "no_backend"
    hall.ask(model="gpt-x", wishes=Wishes(model="mid"))
    assert hall.calls[-1].model == "mid"
    _, wrong = hall.ask(model="gpt-x", wishes=Wishes(model="other"))
    assert wrong.code == "model_not_allowed"


def test_a_client_that_leaves_while_it_waits_for_a_fallback_leaves_nothing_behind() -> None:
    hall = hall_of()
    hall.join("a", model="big")
    hall.join("b", model="mid", slots=1)
    hall.ask(model="mid")
    exchange, sink = hall.ask(model="big")
    hall.calls[1].fail(BROKEN)
    assert exchange is not None and exchange.state.value == "queued" and not sink.endings
    exchange.cancel()
    assert len(hall.queue) == 0 and hall.in_flight() == 1


def test_each_arm_has_its_own_cache_and_a_fallback_is_not_kept() -> None:
    hall = hall_of({"gpt-x": {"v1": 1, "v2": 1}, "v1": {"fallback": "v2"}}, cache=True)
    hall.join("a", model="v1")
    hall.join("b", model="v2")
    for model in ("v1", "v2"):
        _, sink = hall.ask("same", model="gpt-x", wishes=Wishes(model=model))
        hall.calls[-1].answer(model)
        assert sink.text == model
    _, again = hall.ask("same", model="gpt-x", wishes=Wishes(model="v2"))
    assert again.text == "v2" and again.openings[0].model == "v2" and again.outcome is not None
    assert (again.outcome.cache, again.outcome.model, len(hall.calls)) == ("exact", "v2", 2)
    hall.ask("another", model="v1")
    hall.calls[-1].fail(BROKEN)
    hall.calls[-1].answer("by v2")
    _, later = hall.ask("another", model="v1")
    assert not later.openings and hall.calls[-1].model == "v1"


@pytest.mark.parametrize("cache", ["only"])
def test_who_wants_only_the_cache_gets_no_other_model(cache: str) -> None:
    hall = hall_of(cache=True)
    hall.join("a", model="big")
    hall.join("b", model="mid")
    _, sink = hall.ask(model="big", cache=cache)
    assert sink.code == "not_cached" and not hall.calls


def test_an_explained_request_tells_its_choice() -> None:
    hall = hall_of({})
    hall.join("a", slots=1)
    hall.join("b", model="other")
    _, sink = hall.ask(model="m", wishes=Wishes(explain=True))
    hall.calls[0].answer("x")
    told = json.loads(sink.openings[0].explanation)
    assert (told["choice"], told["eligible"][0]["in_flight"]) == ("a", 0)
    assert told["filtered"] == [{"name": "b", "why": "model"}]


def test_one_that_waited_tells_the_choice_that_was_made_then() -> None:
    hall = hall_of({})
    hall.join("a", slots=1)
    hall.ask(model="m")
    _, sink = hall.ask(model="m", wishes=Wishes(explain=True))
    hall.calls[0].answer("x")
    hall.calls[1].answer("y")
    assert json.loads(sink.openings[0].explanation)["choice"] == "a"


def test_one_that_nobody_could_take_tells_why() -> None:
    hall = hall_of({})
    hall.join("a", alive=False)
    _, sink = hall.ask(model="m", wishes=Wishes(explain=True))
    assert sink.failure is not None
    assert json.loads(sink.failure.explanation)["filtered"] == [{"name": "a", "why": "joining"}]


def test_equal_questions_under_an_alias_are_one_call() -> None:
    hall = hall_of({"gpt-x": "m"}, cache=True)
    hall.join("a")
    asked = [hall.ask(model="gpt-x")[1] for _ in range(20)]
    assert len(hall.calls) == 1
    hall.calls[0].answer("x")
    assert {sink.text for sink in asked} == {"x"}
    assert {sink.openings[0].model for sink in asked} == {"m"}
