"""Whether a folder holds a sentence model of BERT's kind, and what `bert` must know of it."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

_MODULES: Final = ("Transformer", "Pooling", "Normalize")
# How sentence-transformers 6.2 prints such a model. The fingerprint begins with it, so that it is the same wherever
# the model was loaded, and is written down here, so that the next version's wording changes no fingerprint.
_PRINTED: Final = (
    "SentenceTransformer(\n  (0): Transformer({{'transformer_task': 'feature-extraction', 'modality_config': {{'text': "
    "{{'method': 'forward', 'method_output_name': 'last_hidden_state'}}}}, 'module_output_name': 'token_embeddings', "
    "'architecture': 'BertModel'}})\n  (1): Pooling({{'embedding_dimension': {}, 'pooling_mode': 'mean', "
    "'include_prompt': True}})\n  (2): Normalize({{'module_input_name': 'sentence_embedding', 'module_output_name': "
    "'sentence_embedding'}})\n)"
)
_PARTS: Final = ("weight", "bias")
_LAYER: Final = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)


class Unsuited(Exception):
    """Not such a model, or something is missing here: the library must compute it."""


class Layout(NamedTuple):
    """What a model's folder says of it."""

    layers: int
    heads: int
    dimension: int
    epsilon: float
    tokens_max: int


def read_layout(folder: Path) -> Layout:
    """`Unsuited` for anything but a BERT whose tokens' mean, scaled to length one, is the vector."""

    def read(name: str) -> Any:
        return json.loads((folder / name).read_bytes())

    try:
        modules, config, limits = read("modules.json"), read("config.json"), read("sentence_bert_config.json")
        modes = {name for name, on in read(f"{modules[1]['path']}/config.json").items() if "_mode_" in name and on}
        suited = (
            tuple(str(module["type"]).rpartition(".")[2] for module in modules) == _MODULES
            and modes == {"pooling_mode_mean_tokens"}
            and config["model_type"] == "bert"
            and config["hidden_act"] == "gelu"
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not limits.get("do_lower_case")
            and not read("config_sentence_transformers.json").get("prompts")
        )
        layout = Layout(
            int(config["num_hidden_layers"]),
            int(config["num_attention_heads"]),
            int(config["hidden_size"]),
            float(config["layer_norm_eps"]),
            min(int(limits["max_seq_length"]), int(config["max_position_embeddings"])),
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unsuited(f"not laid out as a sentence model of BERT's kind: {type(error).__name__}: {error}") from error
    if not suited:
        raise Unsuited("built otherwise than BERT with the mean of its tokens")
    return layout


def layer_names(number: int) -> list[str]:
    """Of a layer's linear maps and norms: query, key, value, output, norm, wide, narrow, norm."""
    return [f"encoder.layer.{number}.{name}" for name in _LAYER]


def fingerprint(layout: Layout, weights: dict[str, Any]) -> str:
    """Of structure and weights, as `library` would make it of the same model; ``weights``: tensors by name."""
    names = [f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")]
    pairs = ["embeddings.LayerNorm", *(name for at in range(layout.layers) for name in layer_names(at)), "pooler.dense"]
    names += [f"{pair}.{part}" for pair in pairs for part in _PARTS]
    digest = blake2b(_PRINTED.format(layout.dimension).encode(), digest_size=6)
    for name in names:
        if name in weights or not name.startswith("pooler"):
            digest.update(f"0.model.{name}".encode())
            digest.update(weights[name].contiguous().numpy())
    return digest.hexdigest()
