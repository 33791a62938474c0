"""Which engine serves which model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.engines.base import Engine
from backend.engines.echo import EchoEngine
from backend.errors import EngineUnavailable

ECHO: Final = "echo"
STORYTELLER: Final = "storyteller"
STORYTELLER_PATH: Final = Path(__file__).resolve().parent.parent / "models" / STORYTELLER
EXTRA_HINT: Final = "pip install 'llm-balancer[engine]'"


def make_engine(model: str, *, slots: int, device: str, threads: int | None, echo_delay_ms: float) -> Engine:
    """The engine for ``model``: ``echo``, ``storyteller`` (built in), a Hugging Face name or a local path.

    ``threads`` is how many the engine may compute with; ``None`` leaves it to torch. Nothing is loaded yet.
    Raises `EngineUnavailable`.
    """
    if model == ECHO:
        return EchoEngine(slots=slots, delay_ms=echo_delay_ms)
    try:
        from backend.engines.transformers_engine import TransformersEngine
    except ModuleNotFoundError as error:
        raise EngineUnavailable(f"a real model needs {error.name}, which is not installed: {EXTRA_HINT}") from None
    source = str(STORYTELLER_PATH) if model == STORYTELLER else model
    name = Path(model).resolve().name if Path(model).is_dir() else model
    return TransformersEngine(source, name=name, slots=slots, device=device, threads=threads)
