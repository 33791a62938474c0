from __future__ import annotations

import random

from balancer.admission.aliases import parse_rules
from balancer.errors import Failure
from balancer.exchange.course import Course, ToldSink, course_of
from balancer.exchange.outcome import Opening
from balancer.request import Request, Wishes
from tests.fakes import Hall, RecordingSink, text_events

RULES = parse_rules({"gpt-x": {"v1": 50, "v2": 50}, "v1": {"fallback": ["v2", "small"]}})


def a_request(model: str | None = None, wishes: Wishes | None = None, **body: object) -> Request:
    return Hall().request(model=model, wishes=wishes, body={"prompt": "hi", **body})


def course(request: Request, default: str | None = None) -> Course | Failure | None:
    return course_of(request, RULES, default, random.Random(0))


def test_who_names_a_model_without_a_rule_and_wishes_nothing_has_no_course() -> None:
    assert course(a_request("other")) is None
    assert course(a_request()) is None
    assert course_of(a_request("gpt-x"), None, None, random.Random(0)) is None


def test_a_rule_for_the_default_holds_for_who_names_none() -> None:
    found = course(a_request(), "v1")
    assert isinstance(found, Course) and found.chain.model == "v1" and found.tells_model


def test_one_session_has_one_model_whoever_asks_first() -> None:
    models = set()
    for _ in range(5):
        found = course(a_request("gpt-x", user="u"))
        assert isinstance(found, Course)
        models.add(found.chain.model)
    assert len(models) == 1


def test_a_wish_makes_a_course_without_rules_and_tells_no_model_of_itself() -> None:
    found = course(a_request("other", Wishes(explain=True)))
    assert isinstance(found, Course) and found.explains and not found.tells_model
    assert found.chain.model == "other"


def test_a_wish_that_cannot_be_is_a_failure() -> None:
    found = course(a_request("gpt-x", Wishes(model="v9")))
    assert isinstance(found, Failure) and found.code == "model_not_allowed"


def test_the_first_that_is_offered_is_found_once() -> None:
    found = course(a_request("v1"))
    assert isinstance(found, Course)
    assert found.first_offered(("small", "v1")) == "small"
    assert found.first_offered(("small", "v1")) is None


def test_the_sink_hears_what_the_course_knows_and_all_else_unchanged() -> None:
    found, sink = course(a_request("v1")), RecordingSink()
    assert isinstance(found, Course)
    told = ToldSink(sink, found)
    found.model, found.explanation = "small", '{"choice":"a"}'
    told.queued(3)
    told.opened(Opening("a", "miss", 1))
    told.resumed(Opening("b", "miss", 1, resumed=1))
    told.events(text_events("x"))
    told.whole(b"{}")
    assert sink.positions == [3] and sink.text == "x" and sink.body == b"{}"
    assert [opening.model for opening in sink.openings] == ["small", "small"]
    assert sink.openings[0] == Opening("a", "miss", 1, model="small", explanation='{"choice":"a"}')
