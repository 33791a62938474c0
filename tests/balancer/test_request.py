from __future__ import annotations

import pytest

from balancer.request import Request


def test_a_request_is_made_once_and_frozen() -> None:
    request = Request("1", "t", "chat", {"messages": []}, 0)
    assert (request.model, request.cache, request.deadline_s) == (None, "default", None)
    with pytest.raises(AttributeError):
        request.tenant = "other"  # type: ignore[misc]
