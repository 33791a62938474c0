"""The answer of ``GET /v1/models``: read (which models an engine lists, and which engine it is) and written.

Engines name themselves in ``owned_by`` of the models they serve: vLLM ``vllm``, SGLang ``sglang``
(``srt/entrypoints/openai/protocol.py``), llama.cpp ``llamacpp`` (``tools/server``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import msgspec

MODEL_NAME_MAX_CHARS: Final = 512
MODELS_MAX: Final = 4096
"""Providers list hundreds; what comes behind these is left out."""

_ENGINES: Final = frozenset({"vllm", "sglang", "llamacpp"})
_ABILITIES: Final = {
    "vllm": frozenset({"continue_final_message", "token_ids"}),
    "sglang": frozenset({"continue_final_message"}),
}
_TOLD_ABILITIES: Final = frozenset({"continue_from", "continue_final_message", "token_ids"})
"""Our own backend tells its own with each model; a balancer tells nobody's."""


class Listing(NamedTuple):
    """What was listed."""

    models: dict[str, int | None]
    """Model name -> context length in tokens, where it is told."""
    engine: str
    """``vllm`` | ``sglang`` | ``llamacpp``; empty where the list does not say."""
    abilities: frozenset[str] = frozenset()
    """Beyond the OpenAI API, where the list itself tells them."""


class _Model(msgspec.Struct):
    id: str
    max_model_len: object = None
    owned_by: object = None
    abilities: object = None


class _Models(msgspec.Struct):
    data: list[_Model]


_decoder = msgspec.json.Decoder(_Models)


def parse_listing(body: bytes) -> Listing:
    """Read such an answer. Raises `ValueError` for anything else."""
    try:
        listed = _decoder.decode(body).data[:MODELS_MAX]
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    models = {model.id: _length(model.max_model_len) for model in listed if _is_name(model.id)}
    owners = {model.owned_by if isinstance(model.owned_by, str) else "" for model in listed}
    owner = owners.pop() if len(owners) == 1 else ""
    told = [{one for one in _each(model.abilities) if one in _TOLD_ABILITIES} for model in listed]
    return Listing(models, owner if owner in _ENGINES else "", frozenset(set.intersection(*told) if told else ()))


def _each(words: object) -> list[str]:
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def abilities_of(engine: str) -> frozenset[str]:
    """What every server of this engine can do beyond the OpenAI API."""
    return _ABILITIES.get(engine, frozenset())


def _is_name(id: str) -> bool:
    """Names come into logs and headers: what cannot be printed there is none."""
    return 0 < len(id) <= MODEL_NAME_MAX_CHARS and id.isprintable()


def _length(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def models_body(models: dict[str, int | None], created: int, abilities: Collection[str] = ()) -> bytes:
    """The whole list: model name -> context length in tokens; ``created`` in Unix seconds; ``abilities``: the server's
    beyond the OpenAI API."""
    told = {"abilities": sorted(abilities)} if abilities else {}
    data = [_described(name, length, created) | told for name, length in sorted(models.items())]
    return msgspec.json.encode({"object": "list", "data": data})


def model_body(name: str, context_length: int | None, created: int) -> bytes:
    """The answer of ``GET /v1/models/NAME``."""
    return msgspec.json.encode(_described(name, context_length, created))


def _described(name: str, context_length: int | None, created: int) -> dict[str, Any]:
    model = {"id": name, "object": "model", "created": created, "owned_by": "llm-balancer"}
    return model if context_length is None else {**model, "max_model_len": context_length}
