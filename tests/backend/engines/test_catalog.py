from __future__ import annotations

from pathlib import Path

from backend.engines.base import Engine
from backend.engines.catalog import STORYTELLER_PATH, make_engine
from backend.engines.echo import EchoEngine
from backend.engines.transformers_engine import TransformersEngine


def make(model: str) -> Engine:
    return make_engine(model, slots=2, device="cpu", threads=1, echo_delay_ms=0)


def test_echo_needs_no_model() -> None:
    assert isinstance(make("echo"), EchoEngine)


def test_any_other_name_is_a_model_to_load() -> None:
    engine = make("gpt2")
    assert isinstance(engine, TransformersEngine)
    assert engine.info.model == "gpt2"


def test_a_path_is_known_by_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert make(str(tmp_path / "mine")).info.model == "mine"


def test_the_built_in_model_lies_in_the_package() -> None:
    assert make("storyteller").info.model == "storyteller"
    assert STORYTELLER_PATH.parent.name == "models"
