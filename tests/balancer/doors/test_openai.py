from __future__ import annotations

import json

import pytest

from balancer.doors.health import Health
from balancer.doors.http import Answer
from balancer.doors.openai import OpenAIDoor
from balancer.pool.backend import ModelInfo
from balancer.wire.http1 import HttpRequest
from tests.fakes import Hall


def ask(path: str, method: str = "GET", hall: Hall | None = None) -> Answer:
    if hall is None:
        hall = Hall()
        hall.join("a", models=(ModelInfo("org/m", 2048),))
    return OpenAIDoor(Health(hall.dispatcher, 7)).answer(HttpRequest(method, path, "", {}, b"", True))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
def test_models_are_listed(path: str) -> None:
    found = ask(path)
    assert found.status == 200
    (model,) = json.loads(found.body)["data"]
    assert (model["id"], model["max_model_len"], model["created"]) == ("org/m", 2048, 7)


def test_one_model_is_told_by_its_name() -> None:
    assert json.loads(ask("/v1/models/org/m").body)["id"] == "org/m"
    missing = ask("/v1/models/other")
    assert missing.status == 404
    assert json.loads(missing.body)["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health"])
def test_health_is_told(path: str) -> None:
    assert ask(path).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_endpoints_that_are_not_built_say_so(path: str, method: str) -> None:
    found = ask(path, method)
    assert found.status == 501
    assert json.loads(found.body)["error"]["code"] == "not_implemented"


def test_what_is_nowhere_is_a_plain_404_of_bounded_length() -> None:
    found = ask("/" + "x" * 5000)
    assert found.status == 404
    assert len(found.body) < 500


def test_another_method_is_told_which_it_takes() -> None:
    found = ask("/v1/models", "POST")
    assert (found.status, dict(found.headers)) == (405, {"allow": "GET"})
