from __future__ import annotations

from typing import Any

import pytest

from backend.agent.discovery import Found, Wanted, discover
from backend.agent.fetch import EngineHttp, EngineSilent, engine_url
from backend.errors import EngineUnavailable
from balancer.wire.control import Model
from tests.backend.foreign_engine import Reply, foreign_engine, listed, llamacpp, ollama, sglang, vllm

VLLM = Found(
    engine="vllm",
    version="0.11.0",
    models=(Model("m", 4096),),
    endpoints=("chat", "completions"),
    abilities=("continue_final_message", "token_ids"),
    slots=256,
    health_path="/health",
)
BOTH = ("chat", "completions")


async def found(replies: dict[str, Reply], wanted: Wanted | None = None, key: str = "") -> Found:
    async with foreign_engine(replies) as engine:
        return await discover(EngineHttp(engine_url(engine.url), key), wanted or Wanted())


async def test_vllm() -> None:
    assert await found(vllm()) == VLLM


@pytest.mark.parametrize(
    ("replies", "fields"),
    [
        (sglang(), {"engine": "sglang", "version": "0.5.4", "models": (Model("m", 8192),), "slots": 256,
                    "health_path": "/v1/models"}),
        (llamacpp(), {"engine": "llamacpp", "version": "b1-x", "models": (Model("q.gguf", 2048),), "slots": 3}),
        (ollama(), {"engine": "ollama", "version": "0.12.6", "slots": 4, "health_path": "/api/version",
                    "models": (Model("llama3.2:latest"), Model("q:1b", 4096))}),
        ({"/v1/models": listed("acme", {"id": "x"}), "/v1/completions": (422, "")},
         {"engine": "openai", "endpoints": ("completions",), "health_path": "/v1/models", "abilities": ()}),
        ({**llamacpp(), "/v1/models": listed("you", {"id": "x"})}, {"engine": "llamacpp", "slots": 3}),
    ],
    ids=["sglang", "llamacpp", "ollama", "another server", "llamacpp by its props"],
)  # fmt: skip
async def test_engines_are_known_by_what_they_say(replies: dict[str, Reply], fields: dict[str, Any]) -> None:
    seen = await found(replies)
    assert {name: getattr(seen, name) for name in fields} == fields
    assert "endpoints" in fields or seen.endpoints == BOTH


async def test_embeddings_are_offered_only_by_what_embeds() -> None:
    embedder = {**vllm(), "/v1/embeddings": (200, {"data": []}), "/v1/chat/completions": (404, "")}
    assert (await found(embedder)).endpoints == ("completions", "embeddings")


async def test_ollama_is_not_made_to_load_a_model() -> None:
    async with foreign_engine({**ollama(), "/v1/embeddings": (200, {"data": []})}) as engine:
        seen = await discover(EngineHttp(engine_url(engine.url)), Wanted())
    assert seen.endpoints == BOTH
    assert "POST /v1/embeddings" not in engine.asked


async def test_what_the_operator_says_is_not_asked() -> None:
    async with foreign_engine(ollama()) as engine:
        seen = await discover(EngineHttp(engine_url(engine.url)), Wanted(("q:1b",), ("embeddings",), 9))
    assert (seen.models, seen.endpoints, seen.slots) == ((Model("q:1b", 4096),), ("embeddings",), 9)
    assert not [line for line in engine.asked if line.startswith("POST")]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
async def test_an_engine_that_wants_a_key_from_balancers_can_not_be_registered(path: str) -> None:
    with pytest.raises(EngineUnavailable, match="key-env"):
        await found({**vllm(), path: (401, "")}, key="secret")


@pytest.mark.parametrize(
    "replies",
    [
        {**vllm(), "/v1/models": (503, "loading")},
        {**vllm(), "/v1/models": (200, "<html>")},
        {**vllm(), "/v1/models": listed("vllm")},
        {**vllm(), "/health": (503, "")},
    ],
    ids=["loading", "no list", "no model", "not healthy"],
)
async def test_an_engine_that_is_not_ready_yet_is_silent(replies: dict[str, Reply]) -> None:
    with pytest.raises(EngineSilent):
        await found(replies)


async def test_a_model_or_an_endpoint_that_is_not_there_is_told() -> None:
    with pytest.raises(EngineUnavailable, match="no model x, y"):
        await found(vllm(), Wanted(models=("y", "m", "x")))
    with pytest.raises(EngineUnavailable, match="none of"):
        await found({**vllm(), "/v1/chat/completions": (404, ""), "/v1/completions": (405, "")})
