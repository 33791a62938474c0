"""Finds out what an engine is and offers, by asking it once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from backend.agent import describe
from backend.agent.describe import LLAMACPP, OLLAMA, OTHER, SGLANG, VLLM, Details, ModelList
from backend.agent.fetch import Answer, EngineHttp, EngineSilent
from backend.errors import EngineUnavailable
from balancer.wire.control import Model

PATHS: Final = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "responses": "/v1/responses",
}
_ASKED_FOR: Final = ("chat", "completions")
"""Endpoints that are looked for unless told; embeddings are tried, responses are offered only if told."""
_TRY_S: Final = 10.0
_KEY_WANTED: Final = (
    "the engine asks for an API key, and an agent can't hand one to balancers: let the balancer know the engine"
    " instead, with --upstream 'URL;key-env=NAME', or start the engine without a key"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An engine as it is registered."""

    engine: str
    version: str
    models: tuple[Model, ...]
    endpoints: tuple[str, ...]
    abilities: tuple[str, ...]
    slots: int
    health_path: str
    """Answers 200 quickly while the engine lives."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator said: only these models, these endpoints, so many slots. Empty: find out."""

    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    slots: int | None = None


async def discover(http: EngineHttp, wanted: Wanted) -> Found:
    """Ask the engine; without its key for what balancers will ask, since they have none.

    Raises `EngineSilent` (not now), `EngineUnavailable` (it never will do as it is).
    """
    listed = _listed(await http.without_key.get("/v1/models"))
    engine, details = await _identified(http, listed)
    health_path = await _health_path(http, engine)
    models = describe.models(listed, details, wanted.models)
    missing = set(wanted.models).difference(model.name for model in models)
    if missing:
        raise EngineUnavailable(f"the engine has no model {', '.join(sorted(missing))}")
    if not models:
        raise EngineSilent("/v1/models names no model")
    return Found(
        engine=engine,
        version=details.version,
        models=models,
        endpoints=wanted.endpoints or await _endpoints(http.without_key, engine, models[0].name),
        abilities=describe.abilities(engine),
        slots=wanted.slots or describe.slots(engine, details),
        health_path=health_path,
    )


def _listed(answer: Answer) -> ModelList:
    if answer.wants_key:
        raise EngineUnavailable(_KEY_WANTED)
    listed = describe.model_list(answer.body) if answer.status == 200 else None
    if listed is None:
        raise EngineSilent(f"/v1/models answered {answer.status}, and no list of models")
    return listed


async def _identified(http: EngineHttp, listed: ModelList) -> tuple[str, Details]:
    """Which engine it is: what its models say, else which of the paths that only one engine has it answers."""
    owner = listed.owner
    if owner in (None, LLAMACPP):
        props = await http.get("/props")
        details = describe.llamacpp_details(props.body) if props.status == 200 else None
        if details is not None or owner is not None:
            return LLAMACPP, details or Details()
    if owner is None:
        ollama = await _version(http, "/api/version")
        if ollama:
            return OLLAMA, describe.ollama_details(ollama, (await http.get("/api/ps")).body)
    if owner == SGLANG:
        return SGLANG, Details(await _version(http, "/server_info") or await _version(http, "/get_server_info"))
    found = await _version(http, "/version")
    return (VLLM if owner == VLLM else OTHER), Details(found)


async def _version(http: EngineHttp, path: str) -> str:
    answer = await http.get(path)
    return describe.version(answer.body) if answer.status == 200 else ""


async def _health_path(http: EngineHttp, engine: str) -> str:
    """Raises `EngineSilent` while the engine says that it isn't ready."""
    if engine == OLLAMA:
        return "/api/version"
    answer = await http.get("/health", _TRY_S)
    if answer.status != 200 and not answer.is_missing:
        raise EngineSilent(f"/health answered {answer.status}")
    # SGLang generates a token for each /health: once is a good test, once a second is load.
    return "/v1/models" if answer.is_missing or engine == SGLANG else "/health"


async def _endpoints(http: EngineHttp, engine: str, model: str) -> tuple[str, ...]:
    """A request without its contents is refused at once, and otherwise where there is no such endpoint."""
    found: list[str] = []
    for endpoint in _ASKED_FOR:
        answer = await http.post(PATHS[endpoint], b'{"max_tokens":1}', _TRY_S)
        if answer.wants_key:
            raise EngineUnavailable(_KEY_WANTED)
        if not answer.is_missing:
            found.append(endpoint)
    # Ollama would load gigabytes for the question.
    if engine != OLLAMA and await _embeds(http, model):
        found.append("embeddings")
    if not found:
        raise EngineUnavailable(f"the engine offers none of {', '.join(map(PATHS.__getitem__, _ASKED_FOR))}")
    return tuple(found)


async def _embeds(http: EngineHttp, model: str) -> bool:
    """Only a real embedding tells: engines have the path for models that can't."""
    try:
        answer = await http.post(PATHS["embeddings"], msgspec.json.encode({"model": model, "input": "a"}), _TRY_S)
    except EngineSilent:
        return False
    return answer.status == 200
