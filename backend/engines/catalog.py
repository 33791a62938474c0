"""Which engine serves which model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.engines.base import Engine
from backend.engines.echo import EchoEngine
from backend.engines.transformers_engine import TransformersEngine

ECHO: Final = "echo"
STORYTELLER: Final = "storyteller"
STORYTELLER_PATH: Final = Path(__file__).resolve().parent.parent / "models" / STORYTELLER


def make_engine(model: str, *, slots: int, device: str, threads: int | None, echo_delay_ms: float) -> Engine:
    """The engine for ``model``: ``echo``, ``storyteller`` (built in), a Hugging Face name or a local path.

    ``threads`` is how many the engine may compute with, ``None`` for `load.default_threads`. Nothing is loaded yet.
    """
    if model == ECHO:
        return EchoEngine(slots=slots, delay_ms=echo_delay_ms)
    source = str(STORYTELLER_PATH) if model == STORYTELLER else model
    name = Path(model).resolve().name if Path(model).is_dir() else model
    return TransformersEngine(source, name=name, slots=slots, device=device, threads=threads)
