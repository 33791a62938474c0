from __future__ import annotations

import json
from typing import Any

import pytest

from balancer.admission.aliases import parse_rules
from balancer.doors.explaining import explained
from tests.balancer.doors.caller import called, request
from tests.balancer.doors.lobby import Lobby
from tests.fakes import Hall


def a_hall(**models: Any) -> Hall:
    hall = Hall()
    hall.join("a")
    hall.join("b", model="n")
    hall.dispatcher.rules = parse_rules(models)
    return hall


def ask(hall: Hall, **body: Any) -> tuple[int, Any]:
    found = explained(hall.dispatcher, json.dumps({"prompt": "hi", **body}).encode())
    return found.status, json.loads(found.body)


def test_it_tells_where_a_request_would_go_and_sends_nothing() -> None:
    hall = a_hall()
    status, found = ask(hall, model="m", endpoint="chat")
    (route,) = found["routes"]
    assert status == 200 and (found["asked"], found["model"], found["shares"]) == ("m", "m", None)
    assert (route["endpoint"], route["choice"]) == ("chat", "a")
    assert route["filtered"] == [{"name": "b", "why": "model"}]
    assert not hall.calls and hall.in_flight() == 0 and not hall.dispatcher.counts


def test_a_name_is_resolved_and_its_fallbacks_are_told() -> None:
    hall = a_hall(**{"gpt-x": {"to": {"m": 1, "n": 0}, "fallback": "n"}})
    _, found = ask(hall, model="gpt-x", prompt_cache_key="s")
    assert (found["asked"], found["model"], found["shares"], found["session"]) == ("gpt-x", "m", {"m": 1, "n": 0}, True)
    assert [route["choice"] for route in found["routes"]] == ["a", "b"]
    _, found = ask(hall, model="gpt-x", arm="n")
    assert [route["model"] for route in found["routes"]] == ["n"]


def test_without_a_model_the_only_one_or_the_default_is_meant() -> None:
    hall = Hall(default_model="n")
    hall.join("a")
    hall.join("b", model="n")
    assert ask(hall)[1]["model"] == "n"
    lone = Hall()
    lone.join("a")
    assert ask(lone)[1]["routes"][0]["choice"] == "a"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"model": "m", "endpoint": "images"}, "invalid_request"),
        ({"model": "m", "tenant": 3}, "invalid_request"),
        ({"model": "gpt-x", "arm": "v9"}, "model_not_allowed"),
        ({"model": 3}, "invalid_model"),
        ({"prompt": ""}, "empty_prompt"),
        ({}, "model_required"),
    ],
)
def test_what_cannot_be_explained_is_said(body: dict[str, Any], code: str) -> None:
    status, found = ask(a_hall(**{"gpt-x": "m"}), **body)
    assert (status, found["error"]["code"]) == (400, code)


def test_what_is_no_object_is_an_error() -> None:
    assert explained(a_hall().dispatcher, b"[]").status == 400


@pytest.mark.parametrize("endpoint", ["embeddings", "responses"])
def test_requests_that_pass_unread_are_explained_too(endpoint: str) -> None:
    hall = a_hall()
    hall.join("c", endpoints=frozenset({endpoint}))
    _, found = ask(hall, model="m", endpoint=endpoint, input="hi")
    assert found["routes"][0]["choice"] == "c"


async def test_the_admin_port_answers_it() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        asked = request("POST", "/explain", {"model": "m", "prompt": "hi"}).replace(b"Host: x", b"Host: localhost")
        visitor = await lobby.visit(asked, admin=True)
        assert b'"choice":"a"' in await visitor.some()
        refused = await lobby.visit(asked.replace(b"POST", b"GET"), admin=True)
        assert b" 405 " in await refused.some()
        assert (await called(lobby, request("POST", "/explain", {}))).status == 404
