from __future__ import annotations

import pytest

from balancer import errors
from balancer.errors import Failure, Source

FAILURES = [
    (errors.bad_request("no"), 400, Source.CLIENT, "invalid_request_error", False),
    (errors.model_required(["b", "a"]), 400, Source.CLIENT, "invalid_request_error", False),
    (errors.unknown_model("x", ["a"]), 404, Source.CLIENT, "not_found_error", False),
    (errors.wrong_endpoint("m", "chat"), 400, Source.CLIENT, "invalid_request_error", False),
    (errors.prompt_too_long("m"), 400, Source.CLIENT, "invalid_request_error", False),
    (errors.no_backend("none", 2.0), 503, Source.BALANCER, "server_error", False),
    (errors.queue_full(3, 2.0), 503, Source.BALANCER, "server_error", False),
    (errors.queue_timeout(30.0, 2.0), 503, Source.BALANCER, "server_error", False),
    (errors.no_means("b", "Too many open files"), 503, Source.BALANCER, "server_error", False),
    (errors.deadline_passed(3.0), 504, Source.BALANCER, "server_error", False),
    (errors.shutting_down(), 503, Source.BALANCER, "server_error", False),
    (errors.not_cached(), 504, Source.BALANCER, "server_error", False),
    (errors.backend_unreachable("b", "refused"), 502, Source.BACKEND, "server_error", True),
    (errors.backend_busy("b", 1.0), 429, Source.BACKEND, "rate_limit_error", True),
    (errors.backend_failed("b", "reset"), 502, Source.BACKEND, "server_error", True),
    (errors.backend_lost("b"), 502, Source.BACKEND, "server_error", True),
    (errors.backend_timeout("b", "first token", 3.0), 504, Source.BACKEND, "server_error", True),
    (errors.rejected("no", "too_long", 422), 422, Source.CLIENT, "invalid_request_error", False),
    (errors.rejected("no", None, 429), 429, Source.CLIENT, "rate_limit_error", False),
    (errors.rejected("no", None, 403), 403, Source.CLIENT, "authentication_error", False),
]


@pytest.mark.parametrize(("failure", "status", "source", "kind", "retryable"), FAILURES)
def test_each_cause_knows_its_status_whose_fault_it_was_and_whether_another_may_be_asked(
    failure: Failure, status: int, source: Source, kind: str, retryable: bool
) -> None:
    assert (failure.status, failure.source, failure.type, failure.retryable) == (status, source, kind, retryable)
    assert failure.message
    assert failure.retryable == (failure.source is Source.BACKEND), "only a backend's failure is worth a retry"


def test_what_may_pass_says_when_to_try_again_and_what_may_not_does_not() -> None:
    for failure, *_ in FAILURES:
        assert (failure.retry_after_s is not None) == (
            failure.status in (502, 503) or (failure.status in (429, 504) and failure.source is Source.BACKEND)
        )


def test_only_a_busy_backend_is_busy() -> None:
    """Or one that cannot be dialled for want of something on this side: both wait."""
    assert {failure.code for failure, *_ in FAILURES if failure.busy} == {"backend_busy", "no_means"}


def test_long_lists_of_models_are_cut() -> None:
    failure = errors.unknown_model("x", [f"model-{i:04}" for i in range(1000)])
    assert "and 980 more" in failure.message
    assert len(failure.message) < 400
    assert "none at all" in errors.unknown_model("x", []).message


def test_an_engine_without_words_still_gives_a_message() -> None:
    assert errors.rejected("", None, 400).message == "the engine answered 400"
