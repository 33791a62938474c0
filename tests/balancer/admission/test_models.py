from __future__ import annotations

import pytest

from balancer.admission.models import RETRY_AFTER_S, START_GRACE_S, resolve_model
from balancer.errors import Failure, Source

LATER = START_GRACE_S + 1


def resolve(
    asked: str | None,
    *offered: str,
    default: str | None = None,
    seen: tuple[str, ...] = (),
    uptime_s: float = LATER,
    more_may_come: bool = False,
) -> str | Failure:
    return resolve_model(asked, offered, default, "classic", seen.__contains__, uptime_s, more_may_come)


def code(found: str | Failure) -> str:
    assert isinstance(found, Failure), found
    return found.code


def test_a_model_that_is_offered_is_taken_by_its_name() -> None:
    assert resolve("a", "a", "b") == "a"


def test_who_names_none_gets_the_default() -> None:
    assert resolve(None, "a", "b", default="b") == "b"


def test_without_a_default_the_only_model_is_meant() -> None:
    assert resolve(None, "a") == "a"


def test_without_a_default_several_models_are_an_error_that_lists_them() -> None:
    found = resolve(None, "b", "a")
    assert isinstance(found, Failure)
    assert found.code == "model_required"
    assert "a, b" in found.message


def test_a_backend_that_cannot_name_its_model_makes_the_choice_no_harder() -> None:
    assert resolve(None, "a", "classic") == "a"
    assert resolve(None, "classic") == "classic"


def test_an_empty_pool_is_worth_another_try() -> None:
    found = resolve(None)
    assert isinstance(found, Failure)
    assert (found.code, found.status, found.retry_after_s) == ("no_backend", 503, RETRY_AFTER_S)


def test_soon_after_a_start_an_unknown_model_may_still_come_and_those_that_are_there_are_listed() -> None:
    found = resolve("x", "b", "a", uptime_s=START_GRACE_S - 1)
    assert isinstance(found, Failure)
    assert (found.code, found.status, found.retry_after_s) == ("no_backend", 503, RETRY_AFTER_S)
    assert found.message == "no backend offers the model 'x' yet; there is a, b"


def test_a_model_never_seen_is_refused_for_good_and_the_others_are_listed() -> None:
    found = resolve("x", "a", "b")
    assert isinstance(found, Failure)
    assert (found.code, found.status, found.source, found.retry_after_s) == (
        "model_not_found",
        404,
        Source.CLIENT,
        None,
    )
    assert "a, b" in found.message


@pytest.mark.parametrize("uptime_s", [0.0, START_GRACE_S - 0.01])
def test_just_after_the_start_no_model_is_unknown_for_good(uptime_s: float) -> None:
    assert code(resolve("x", "a", uptime_s=uptime_s)) == "no_backend"


def test_while_a_backend_has_yet_to_tell_what_it_offers_no_model_is_unknown_for_good() -> None:
    found = resolve("x", "a", more_may_come=True)
    assert isinstance(found, Failure)
    assert (found.code, found.status, found.retry_after_s) == ("no_backend", 503, RETRY_AFTER_S)
    assert found.message == "no backend offers the model 'x' yet; there is a"
    assert resolve("a", "a", more_may_come=True) == "a"


def test_a_model_seen_lately_may_come_back() -> None:
    found = resolve("x", "a", seen=("x",))
    assert isinstance(found, Failure)
    assert (found.code, found.retry_after_s) == ("no_backend", RETRY_AFTER_S)


def test_a_default_that_nobody_offers_is_no_reason_to_take_another() -> None:
    assert code(resolve(None, "a", default="gone", seen=("gone",))) == "no_backend"
