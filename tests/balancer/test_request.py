from __future__ import annotations

from dataclasses import replace

from balancer.request import Request


def test_a_request_is_made_once_and_changed_in_a_copy() -> None:
    request = Request("1", "t", "chat", {"messages": []}, 0)
    assert (request.model, request.cache, request.deadline_s) == (None, "default", None)
    other = replace(request, model="m")
    assert (other.model, request.model) == ("m", None)
    assert other != request == replace(other, model=None)
