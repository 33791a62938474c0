"""Errors in OpenAI's shape."""

from __future__ import annotations

import json

import pytest

from balancer.doors.answer import error_answer


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "not_found_error"), (501, "server_error"), (400, "invalid_request_error")]
)
def test_the_status_decides_of_which_kind_an_error_is(status: int, kind: str) -> None:
    answer = error_answer(status, "no", "why", (("allow", "GET"),))
    assert answer.status == status and answer.headers == (("allow", "GET"),)
    error = json.loads(answer.body)["error"]
    assert error["type"] == kind and error["message"] == "no" and error["code"] == "why"
