"""What engines say of themselves, read from their own answers. Pure: bytes in, plain values out.

vLLM and SGLang put the context length of each model into ``/v1/models`` (``max_model_len``), llama.cpp its slots and
the context of one of them into ``/props``, Ollama the context of each loaded model into ``/api/ps``. An answer of
another shape says nothing, and is never an error.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from balancer.wire.control import Model
from balancer.wire.limits import BACKEND_MODELS_MAX, SLOTS_MAX

VLLM: Final = "vllm"
SGLANG: Final = "sglang"
LLAMACPP: Final = "llamacpp"
OLLAMA: Final = "ollama"
OTHER: Final = "openai"
"""Any other server in the OpenAI dialect."""

T = TypeVar("T")

_OWNERS: Final = {"vllm": VLLM, "sglang": SGLANG, "llamacpp": LLAMACPP}
_WORD_MAX: Final = 64
_DEFAULT_SLOTS: Final = {OLLAMA: 4}
_SLOTS: Final = 256
_ABILITIES: Final = {VLLM: ("continue_final_message", "token_ids"), SGLANG: ("continue_final_message",)}


class ModelEntry(msgspec.Struct):
    id: str
    owned_by: str = ""
    max_model_len: int | None = None


class ModelList(msgspec.Struct):
    """``/v1/models``."""

    data: list[ModelEntry]

    @property
    def owner(self) -> str | None:
        """The engine that calls itself the models' owner, if it is one known by that."""
        return next((_OWNERS[entry.owned_by] for entry in self.data if entry.owned_by in _OWNERS), None)


class _Props(msgspec.Struct):
    class Settings(msgspec.Struct):
        n_ctx: int | None = None

    total_slots: int | None = None
    default_generation_settings: Settings = msgspec.field(default_factory=Settings)
    build_info: str = ""


class _Loaded(msgspec.Struct):
    class Entry(msgspec.Struct):
        name: str
        context_length: int | None = None

    models: list[Entry]


class _Version(msgspec.Struct):
    version: str


class Details(msgspec.Struct):
    """Beyond the model list; each is empty where the engine does not tell."""

    version: str = ""
    slots: int | None = None
    context_length: int | None = None
    """Of every model."""
    context_lengths: dict[str, int] = {}


def model_list(body: bytes) -> ModelList | None:
    return _decoded(body, ModelList)


def version(body: bytes) -> str:
    """vLLM's ``/version``, SGLang's ``/server_info``, Ollama's ``/api/version``."""
    found = _decoded(body, _Version)
    return _word(found.version) if found is not None else ""


def llamacpp_details(body: bytes) -> Details | None:
    """llama.cpp's ``/props``."""
    props = _decoded(body, _Props)
    if props is None or props.total_slots is None:
        return None
    slots = min(props.total_slots, SLOTS_MAX) if props.total_slots > 0 else None
    return Details(_word(props.build_info), slots, _length(props.default_generation_settings.n_ctx))


def ollama_details(version_text: str, loaded: bytes) -> Details:
    """``loaded`` is ``/api/ps``: only of a loaded model it is known how long a context it was given."""
    found = _decoded(loaded, _Loaded)
    entries = found.models if found is not None else []
    return Details(version_text, context_lengths={e.name: n for e in entries if (n := _length(e.context_length))})


def models(listed: ModelList, details: Details, wanted: tuple[str, ...]) -> tuple[Model, ...]:
    """What to register: all that are listed, or those ``wanted`` of them, and only names that can be registered."""
    found = []
    for entry in listed.data:
        if not wanted or entry.id in wanted:
            own = details.context_lengths.get(entry.id)
            length = own or details.context_length or _length(entry.max_model_len)
            found += [checked] if (checked := _model(entry.id, length)) is not None else []
    return tuple(found[:BACKEND_MODELS_MAX])


def slots(engine: str, details: Details) -> int:
    """How many requests at once, where nobody said it: continuous batching takes many, Ollama few."""
    return details.slots or _DEFAULT_SLOTS.get(engine, _SLOTS)


def abilities(engine: str) -> tuple[str, ...]:
    return _ABILITIES.get(engine, ())


def _model(name: str, context_length: int | None) -> Model | None:
    try:
        return msgspec.convert({"name": name, "context_length": context_length}, Model)
    except msgspec.ValidationError:
        return None


def _length(tokens: int | None) -> int | None:
    return tokens if tokens is not None and tokens > 0 else None


def _word(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:_WORD_MAX]


def _decoded(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
