"""The shipped model: what stands in the repository loads without a network and tells a story."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.storyteller.evaluate import MODEL
from backend.storyteller.sampling import sample

MAX_BYTES = 12_000_000


def test_everything_a_loader_needs_is_there_and_small() -> None:
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md"):
        assert (MODEL / name).is_file(), name
    assert (MODEL / "model.safetensors").stat().st_size <= MAX_BYTES


def test_context_end_and_sampling_are_declared() -> None:
    config = json.loads((MODEL / "config.json").read_text())
    assert config["model_type"] == "gpt2"
    assert config["n_positions"] >= 1024
    assert config["dtype"] == "float32"
    generation = json.loads((MODEL / "generation_config.json").read_text())
    assert generation["eos_token_id"] == config["eos_token_id"]
    assert generation["do_sample"] is True


def test_the_stories_it_learned_from_are_noted() -> None:
    for run in json.loads((MODEL / "training.json").read_text())["runs"]:
        assert run["documents"] > 0
        assert isinstance(run["seed"], int)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return pytest.importorskip("tokenizers").Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@given(text=st.text())
def test_any_text_can_be_asked_and_comes_back_byte_for_byte(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Any, Any]]:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
        yield transformers.AutoModelForCausalLM.from_pretrained(MODEL).train(False), tokenizer


def test_it_loads_offline_in_float32(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    assert str(model.dtype) == "torch.float32"
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.model_max_length == model.config.n_positions == 1024
    assert tokenizer.chat_template is None


def test_it_continues_a_first_line_to_an_end(loaded: tuple[Any, Any]) -> None:
    prompts = ["Once upon a time there was a fox named Pella", "Tell me a story about Borrim the baker"]
    made = sample(*loaded, prompts, [1, 2], temperature=0.3, top_p=0.9, max_tokens=300)
    assert all(one.ended for one in made)
    assert "Pella" in made[0].text
    assert made[1].text.startswith("\n\n")
    assert "Borrim" in made[1].text
