from __future__ import annotations

import pytest

from backend.engines.base import EngineInfo
from backend.errors import InvalidRequest, MethodNotAllowed, NotFound
from backend.server.routes import generation_asked, read_only_answer
from balancer.wire.http1 import HttpRequest

INFO = EngineInfo("echo", "m", 99)


def asked(method: str, path: str, body: bytes = b"") -> HttpRequest:
    return HttpRequest(method, path, "", {}, body, keep_alive=True)


def test_both_endpoints_are_read() -> None:
    chat = generation_asked(asked("POST", "/v1/chat/completions", b'{"messages":[{"role":"user","content":"x"}]}'))
    completion = generation_asked(asked("POST", "/v1/completions", b'{"prompt":"x"}'))
    assert chat is not None
    assert completion is not None
    assert (chat.endpoint, completion.endpoint) == ("chat", "completions")
    with pytest.raises(InvalidRequest):
        generation_asked(asked("POST", "/v1/completions", b""))


def test_the_other_paths_generate_nothing() -> None:
    assert generation_asked(asked("GET", "/health")) is None
    assert generation_asked(asked("HEAD", "/v1/models")) is None


def test_unknown_paths_and_wrong_methods_say_what_there_is() -> None:
    with pytest.raises(NotFound, match="/v1/models"):
        generation_asked(asked("GET", "/v1/nothing"))
    with pytest.raises(MethodNotAllowed, match="POST"):
        generation_asked(asked("GET", "/v1/completions"))
    with pytest.raises(MethodNotAllowed, match="GET"):
        generation_asked(asked("POST", "/health"))


def test_models_are_listed_with_their_context() -> None:
    answer = read_only_answer(asked("GET", "/v1/models"), INFO, "ok", 5)
    assert b'"id":"m"' in answer
    assert b'"max_model_len":99' in answer


def test_health_is_503_with_the_reason_where_it_is_not_ok() -> None:
    assert read_only_answer(asked("GET", "/health"), INFO, "ok", 5).startswith(b"HTTP/1.1 200")
    stuck = read_only_answer(asked("GET", "/health"), INFO, "stuck", 5)
    assert stuck.startswith(b"HTTP/1.1 503")
    assert stuck.endswith(b'{"status":"stuck"}')


def test_head_has_the_length_but_not_the_body() -> None:
    answer = read_only_answer(asked("HEAD", "/health"), INFO, "ok", 5)
    assert b"content-length: 15" in answer
    assert answer.endswith(b"\r\n\r\n")
