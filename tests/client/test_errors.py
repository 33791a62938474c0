from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import errors as balancer_errors
from client import errors


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (balancer_errors.bad_request("no"), errors.BadRequest),
        (balancer_errors.model_required(["a", "b"]), errors.UnknownModel),
        (balancer_errors.unknown_model("x", ["a"]), errors.UnknownModel),
        (balancer_errors.no_backend("none", 2.0), errors.Busy),
        (balancer_errors.queue_full(9, 2.0), errors.Busy),
        (balancer_errors.queue_timeout(30.0, 2.0), errors.Busy),
        (balancer_errors.deadline_passed(3.0), errors.Timeout),
        (balancer_errors.shutting_down(), errors.Busy),
        (balancer_errors.not_cached(), errors.CacheMiss),
        (balancer_errors.backend_unreachable("b", "refused"), errors.BackendFailed),
        (balancer_errors.backend_busy("b", 1.0), errors.Busy),
        (balancer_errors.no_means("b", "Too many open files"), errors.Busy),
        (balancer_errors.backend_failed("b", "broke"), errors.BackendFailed),
        (balancer_errors.backend_lost("b"), errors.BackendFailed),
        (balancer_errors.backend_timeout("b", "token", 30.0), errors.Timeout),
        (balancer_errors.rejected("too long", "context_length_exceeded", 400), errors.ContextTooLong),
        (balancer_errors.rejected("bad", None, 422), errors.BadRequest),
        (balancer_errors.bad_request("who", "invalid_key", 401), errors.AccessDenied),
        (balancer_errors.bad_request("slow down", "limit", 429), errors.Busy),
    ],
    ids=lambda value: getattr(value, "code", getattr(value, "__name__", "")),
)
def test_each_failure_of_the_balancer_has_its_class(failure, expected):
    error = errors.from_fields(
        {
            "type": failure.type,
            "code": failure.code,
            "message": failure.message,
            "retry_after_s": failure.retry_after_s,
        }
    )
    assert type(error) is expected
    assert (error.code, error.message, error.retry_after_s) == (failure.code, failure.message, failure.retry_after_s)


@given(
    st.dictionaries(
        st.sampled_from(["type", "code", "message", "retry_after_s"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_wrong_fields_do_no_harm(fields):
    error = errors.from_fields(fields)
    assert isinstance(error, errors.Refused)
    assert error.code
    assert str(error)
