from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backend.engines.load import LoadedModel, default_threads, load_model
from backend.engines.row_attention import NAME
from backend.errors import EngineUnavailable
from tests.backend.engines.tiny import CONTEXT, EOS, save_tiny

pytestmark = pytest.mark.torch


def test_a_local_model_is_loaded_with_what_belongs_to_it(tiny: LoadedModel) -> None:
    assert tiny.max_model_len == CONTEXT
    assert tiny.eos_ids == {EOS}
    assert tiny.sampling_defaults == {}
    assert tiny.model.config._attn_implementation == NAME


def test_the_models_own_sampling_defaults_are_read(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [0, 5], "do_sample": true, "temperature": 0.7}')
    loaded = load_model(str(tmp_path), "cpu", 1)
    assert loaded.sampling_defaults == {"temperature": 0.7}
    assert loaded.eos_ids == {0, 5}


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "not/a/name", "gpt2"])
def test_a_name_that_can_not_be_fetched_is_told_in_words_and_names_the_built_in_model(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EngineUnavailable, match="--model storyteller"):
        load_model(name, "cpu", 1)


def test_a_directory_that_is_not_there_or_holds_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no such directory"):
        load_model(str(tmp_path / "gone"), "cpu", 1)
    with pytest.raises(EngineUnavailable, match="can't load a model from"):
        load_model(str(tmp_path), "cpu", 1)


def test_a_device_that_is_not_there_is_told() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineUnavailable, match="no cuda device"):
        load_model("x", "cuda", 1)


def test_a_missing_extra_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=r"pip install '\.\[engine\]'"):
        load_model("x", "cpu", 1)


def test_by_default_half_of_the_cores_compute() -> None:
    assert default_threads() >= 1
