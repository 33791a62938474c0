from __future__ import annotations

import random
from typing import Any

import pytest

from balancer import errors
from balancer.admission.aliases import parse_rules
from balancer.admission.fallback import Chain, chain_of, may_fall_back
from balancer.errors import Failure

RULES = parse_rules({"gpt-x": {"v1": 1, "v2": 0}, "v1": {"fallback": ["mid", "small"]}, "gpt-y": "v2"})


def chain(named: str | None, *, rules: Any = RULES, **changes: Any) -> Chain | Failure:
    given: dict[str, Any] = {"arm": None, "fallback": True, "tenant": "local", "session": "", "rng": random.Random(1)}
    return chain_of(rules, named, **{**given, **changes})


def walked(named: str | None, **changes: Any) -> list[str | None]:
    found = chain(named, **changes)
    assert isinstance(found, Chain)
    models = [found.model]
    while found.next() is not None:
        models.append(found.model)
    assert found.next() is None and found.rest == ()
    return models


def test_the_model_comes_first_and_its_fallbacks_in_their_order() -> None:
    assert walked("gpt-x") == ["v1", "mid", "small"] == walked("v1")
    assert walked("gpt-y") == ["v2"]
    assert walked("other") == ["other"]
    assert walked(None) == [None]


def test_a_client_may_name_the_arm_and_forbid_fallbacks() -> None:
    assert walked("gpt-x", arm="v2") == ["v2"]
    assert walked("gpt-x", arm="small") == ["small"]
    assert walked("gpt-x", fallback=False) == ["v1"]
    assert walked("other", arm="other", rules=None) == ["other"]


@pytest.mark.parametrize(("named", "rules"), [("gpt-x", RULES), ("gpt-y", RULES), ("gpt-x", None), (None, RULES)])
def test_an_arm_that_the_name_does_not_mean_is_refused(named: str | None, rules: Any) -> None:
    found = chain(named, arm="v9", rules=rules)
    assert isinstance(found, Failure) and (found.status, found.code) == (400, "model_not_allowed")
    assert "'v9'" in found.message


@pytest.mark.parametrize(
    ("failure", "may"),
    [
        (errors.no_backend("none", 1.0), True),
        (errors.unknown_model("m", ()), True),
        (errors.wrong_endpoint("m", "chat"), True),
        (errors.prompt_too_long("m"), True),
        (errors.queue_full(1, 1.0), True),
        (errors.queue_timeout(1.0, 1.0), True),
        (errors.backend_failed("a", "reset"), True),
        (errors.backend_lost("a"), True),
        (errors.rejected("too hot", "invalid_value", 400), False),
        (errors.deadline_passed(1.0), False),
        (errors.shutting_down(), False),
        (errors.not_cached(), False),
    ],
)
def test_another_model_helps_where_the_request_is_not_what_is_wrong(failure: Failure, may: bool) -> None:
    assert may_fall_back(failure) is may
