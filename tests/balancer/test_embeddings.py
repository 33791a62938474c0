"""The embedder of our own behind ``POST /v1/embeddings``, through the real HTTP door."""

from __future__ import annotations

from typing import Any

import pytest

from balancer.admission import models
from balancer.admission.aliases import parse_rules
from balancer.embeddings import SLOTS
from balancer.exchange.outcome import Record
from balancer.pool.backend import ModelInfo
from tests.balancer.doors.caller import Reply, called, reply, request
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.balancer.upstream.encoder import FakeEncoder

PATH = "/v1/embeddings"
NAME = "all-MiniLM-L6-v2"


def a_lobby(encoder: FakeEncoder, *endpoints: str, **changes: Any) -> Lobby:
    """With a backend ``a`` that offers these for the model ``m``."""
    lobby = Lobby(embedder=encoder, **changes)
    if endpoints:
        lobby.hall.join("a", models=(ModelInfo("m"),), endpoints=frozenset(endpoints))
    return lobby


async def visit(lobby: Lobby, **body: Any) -> Visitor:
    return await lobby.visit(request("POST", PATH, {"input": "one two", **body}))


async def answered(visitor: Visitor) -> Reply:
    return await (await reply(visitor)).whole()


@pytest.mark.parametrize(
    "body",
    [{}, {"model": NAME}, {"model": NAME.lower()}, {"model": f"sentence-transformers/{NAME}"}, {"model": "an-alias"}],
)
async def test_by_its_name_or_by_none_the_embedder_answers(body: dict[str, Any]) -> None:
    encoder = FakeEncoder()
    async with a_lobby(encoder, "chat").open() as lobby:
        lobby.hall.dispatcher.rules = parse_rules({"an-alias": NAME})
        visitor = await visit(lobby, **body)
        await lobby.until(lambda: encoder.asked)
        encoder.asked[0].answer()
        found = await answered(visitor)
    assert found.status == 200
    assert found.json["model"] == NAME and found.json["data"][0]["embedding"] == [7.0, 0.5]
    assert found.json["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert (found.headers["x-balancer-backend"], found.headers["x-balancer-cache"]) == ("embedder", "off")


@pytest.mark.parametrize("body", [{"model": "m"}, {"model": None}, {}])
async def test_a_backend_that_offers_embeddings_comes_first(body: dict[str, Any]) -> None:
    async with a_lobby(FakeEncoder(), "embeddings").open() as lobby:
        await visit(lobby, **body)
        await lobby.calls(1)


async def test_a_backend_that_offers_the_same_model_comes_first_while_it_lives() -> None:
    encoder = FakeEncoder()
    lobby = Lobby(embedder=encoder)
    lobby.hall.join("a", models=(ModelInfo(NAME),), endpoints=frozenset({"embeddings"}))
    async with lobby.open():
        await visit(lobby, model=NAME)
        await lobby.calls(1)
        lobby.hall.leave("a")
        await visit(lobby, model=NAME)
        await lobby.until(lambda: encoder.asked)


async def test_any_other_model_is_as_unknown_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "START_GRACE_S", 0.0)
    async with a_lobby(FakeEncoder(), "chat").open() as lobby:
        unknown = await answered(await visit(lobby, model="text-embedding-3-small"))
        wrong = await answered(await visit(lobby, model="m"))
    assert (unknown.status, unknown.code) == (404, "model_not_found")
    assert NAME in unknown.json["error"]["message"]
    assert (wrong.status, wrong.code) == (400, "wrong_endpoint")


async def test_just_after_the_start_it_is_named_among_the_models_that_are_there() -> None:
    async with a_lobby(FakeEncoder()).open() as lobby:
        found = await answered(await visit(lobby, model="text-embedding-3-small"))
    assert (found.status, found.code) == (503, "no_backend")
    assert found.json["error"]["message"].endswith(f"there is {NAME}")


async def test_while_it_loads_clients_are_told_to_come_back() -> None:
    encoder = FakeEncoder(ready=False)
    async with a_lobby(encoder, "chat").open() as lobby:
        early = await answered(await visit(lobby, model=NAME))
        assert (early.status, early.code, early.headers["retry-after"]) == (503, "no_backend", "2")
        listed = await called(lobby, request("GET", "/v1/models"))
        encoder.ready = True
        await visit(lobby, model=NAME)
        await lobby.until(lambda: encoder.asked)
    assert [model["id"] for model in listed.json["data"]] == ["m"]


async def test_where_it_can_never_work_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "START_GRACE_S", 0.0)
    encoder = FakeEncoder(ready=False)
    encoder.failure = "pip install it"
    async with a_lobby(encoder, "chat").open() as lobby:
        found = await answered(await visit(lobby, model=NAME))
    assert found.status == 404


async def test_its_model_is_listed_with_the_others() -> None:
    async with a_lobby(FakeEncoder(), "chat").open() as lobby:
        listed = (await called(lobby, request("GET", "/v1/models"))).json["data"]
        one = (await called(lobby, request("GET", f"/v1/models/{NAME}"))).json
    assert [(model["id"], model["owned_by"]) for model in listed] == [(NAME, "llm-balancer"), ("m", "llm-balancer")]
    assert one == listed[0] and one["max_model_len"] == 256


@pytest.mark.parametrize("body", [{"input": [1, 2]}, {"input": " "}, {"dimensions": 3}, {"encoding_format": "x"}])
async def test_what_it_cannot_do_is_a_400_before_it_waits(body: dict[str, Any]) -> None:
    encoder = FakeEncoder()
    async with a_lobby(encoder).open() as lobby:
        found = await answered(await visit(lobby, model=NAME, **body))
    assert found.status == 400 and encoder.asked == []


async def test_few_requests_are_with_the_embedder_and_the_others_wait_in_line() -> None:
    encoder = FakeEncoder()
    async with a_lobby(encoder).open() as lobby:
        visitors = [await visit(lobby, model=NAME) for _ in range(SLOTS + 2)]
        assert lobby.own is not None
        own = lobby.own.dispatcher
        await lobby.until(lambda: len(own.queue) == 2)
        assert len(encoder.asked) == SLOTS
        for at in range(SLOTS + 2):
            await lobby.until(lambda at=at: len(encoder.asked) > at)  # type: ignore[misc]
            encoder.asked[at].answer()
        assert {(await answered(visitor)).status for visitor in visitors} == {200}
        assert own.active == 0


async def test_a_client_that_leaves_frees_its_place() -> None:
    encoder = FakeEncoder()
    async with a_lobby(encoder).open() as lobby:
        visitor = await visit(lobby, model=NAME)
        await lobby.until(lambda: encoder.asked)
        visitor.leave()
        await lobby.until(lambda: encoder.asked[0].cancelled)
        assert lobby.own is not None and lobby.own.dispatcher.active == 0


async def test_a_deadline_holds_here_too_and_so_do_counters_and_observers() -> None:
    encoder, told = FakeEncoder(), list[Record]()
    async with a_lobby(encoder).open() as lobby:
        hall, own = lobby.hall.dispatcher, lobby.own
        hall.observers.append(told.append)
        visitor = await lobby.visit(
            request("POST", PATH, {"input": "x", "model": NAME}, "x-balancer-timeout: 2"),
        )
        await lobby.until(lambda: encoder.asked)
        assert own is not None
        own.advance(hall.clock.time() + 3.0)
        found = await answered(visitor)
    assert (found.status, found.code) == (504, "deadline_passed")
    assert encoder.asked[0].cancelled
    assert (hall.counts["requests"], hall.counts["failed.deadline_passed"]) == (1, 1)
    assert [(record.model, record.outcome) for record in told] == [(NAME, "deadline_passed")]
