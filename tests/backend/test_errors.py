from __future__ import annotations

import pytest

from backend import errors


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequest("x"), 400, "invalid_request"),
        (errors.PromptTooLong("x"), 400, "context_length_exceeded"),
        (errors.UnknownModel("x"), 404, "model_not_found"),
        (errors.Busy("x"), 429, "busy"),
        (errors.ShuttingDown("x"), 503, "shutting_down"),
        (errors.EngineFailed("x"), 500, "engine_failed"),
    ],
)
def test_each_cause_has_its_status_and_code(error: errors.BackendError, status: int, code: str) -> None:
    assert (error.status, error.code, error.message) == (status, code, "x")


def test_a_request_error_can_name_its_field_and_a_closer_code() -> None:
    error = errors.InvalidRequest("too many", param="n", code="unsupported_parameter")
    assert (error.param, error.code) == ("n", "unsupported_parameter")


def test_busy_is_told_apart_from_failed() -> None:
    assert errors.Busy("x").type == "rate_limit_error"
    assert errors.Busy("x").retry_after_s == 1
