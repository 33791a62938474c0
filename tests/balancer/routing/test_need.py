from __future__ import annotations

from balancer.routing.need import RouteNeed, session_of


def test_a_need_asks_little_of_a_backend_unless_told() -> None:
    need = RouteNeed("m", "chat")
    assert (need.prompt_bytes, need.exclude, need.named, need.resume) == (0, frozenset(), True, False)
    assert (need.session, need.blocks) == ("", ())


def test_the_prompt_is_estimated_in_tokens_from_its_bytes() -> None:
    assert RouteNeed("m", "chat", prompt_bytes=4003).prompt_tokens == 1000


def test_the_key_is_the_requests_own() -> None:
    assert session_of({"user": "ann", "prompt_cache_key": "chat-7"}) == "chat-7"
    assert session_of({"user": "ann", "prompt_cache_key": 7}) == "ann"
    assert session_of({"user": ""}) == session_of({}) == ""
