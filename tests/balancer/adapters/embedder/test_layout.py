from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from balancer.adapters.embedder.layout import Layout, Unsuited, layer_names, read_layout

BERT = {
    "model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": 6, "num_attention_heads": 12, "hidden_size": 384,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
}  # fmt: skip
FILES: dict[str, Any] = {
    "modules.json": [{"type": f"m.{kind}", "path": "1_Pooling"} for kind in ("Transformer", "Pooling", "Normalize")],
    "1_Pooling/config.json": {"dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False},
    "config.json": BERT,
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
    "config_sentence_transformers.json": {},
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    (folder / "1_Pooling").mkdir()
    for name, content in {**FILES, **changes}.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_a_bert_with_the_mean_of_its_tokens_is_one(tmp_path: Path) -> None:
    assert read_layout(written(tmp_path)) == Layout(6, 12, 384, 1e-12, 256)


def test_a_text_has_no_more_tokens_than_there_are_places(tmp_path: Path) -> None:
    folder = written(tmp_path, **{"sentence_bert_config.json": {"max_seq_length": 4096}})
    assert read_layout(folder).tokens_max == 512


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", BERT | {"hidden_act": "relu"}),
        ("config.json", BERT | {"model_type": "mpnet"}),
        ("config.json", BERT | {"position_embedding_type": "relative_key"}),
        ("config.json", {"model_type": "bert"}),
        ("config.json", []),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}),
        ("modules.json", FILES["modules.json"][:2]),
        ("modules.json", [*FILES["modules.json"], {"type": "x.Dense", "path": ""}]),
        ("modules.json", {}),
        ("sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": True}),
        ("sentence_bert_config.json", {"max_seq_length": None}),
        ("config_sentence_transformers.json", {"prompts": {"query": "search: "}}),
    ],
)
def test_all_else_is_left_to_the_library(tmp_path: Path, name: str, content: Any) -> None:
    with pytest.raises(Unsuited):
        read_layout(written(tmp_path, **{name: content}))


def test_a_folder_without_the_files_is_left_to_the_library(tmp_path: Path) -> None:
    with pytest.raises(Unsuited, match=r"modules\.json"):
        read_layout(tmp_path)


def test_a_layer_has_eight_parts_of_its_own() -> None:
    assert len(set(layer_names(0) + layer_names(1))) == 16
