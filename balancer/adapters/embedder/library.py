"""Any model that sentence-transformers can load, as it computes it: for models that `bert` does not know."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from balancer.adapters.embedder.passes import Pass, in_bytes

_NO_ROWS = np.empty((0, 0), np.int8)
_NO_IDS = np.empty(0, np.int64)


class Library:
    """A loaded model, on one CPU thread."""

    def __init__(self, source: str, early_layer: int) -> None:
        """Load it, which takes seconds; `ImportError` without the library. ``early_layer`` counts from one."""
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        self._model: Any = SentenceTransformer(source, device="cpu")
        self.tokens_max: int | None = self._model.max_seq_length
        self.dimension = len(self._vectors(["dimension"])[0])
        self._early: Any = None
        self.reads_tokens = self._hook(early_layer)
        self.fingerprint = _fingerprint(self._model)

    def _hook(self, early_layer: int) -> bool:
        """Listen to the early layer, if the model has one and marks begin and end of a text as BERT does."""
        encoder = getattr(getattr(self._model[0], "auto_model", None), "encoder", None)
        layers = getattr(encoder, "layer", ())
        if len(layers) < early_layer or getattr(self._model.tokenizer, "cls_token_id", None) is None:
            return False

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            self._early = output[0] if isinstance(output, tuple) else output

        layers[early_layer - 1].register_forward_hook(keep)
        return True

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's, uncut, with the marks of its begin and end."""
        found: list[list[int]] = self._model.tokenizer(list(texts), truncation=False)["input_ids"]
        return found

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """The tokens of words that are tokens; of another, that of unknown words."""
        found: list[int] = self._model.tokenizer.convert_tokens_to_ids(list(words))
        return found

    def passes(self, texts: Sequence[str]) -> list[Pass]:
        """One for each text; of a longer one than the model reads its beginning's."""
        if self.reads_tokens:
            return self._forward(list(texts))
        lengths = [len(tokens) for tokens in self.tokens(texts)]
        if self.tokens_max is not None:
            lengths = [min(length, self.tokens_max) for length in lengths]
        vectors = self._vectors(list(texts))
        return [Pass(*one, _NO_IDS, _NO_ROWS, _NO_ROWS) for one in zip(vectors, lengths, strict=True)]

    def _vectors(self, texts: list[str]) -> Any:
        return self._model.encode(
            texts,
            batch_size=len(texts),
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32, copy=False)

    def _forward(self, texts: list[str]) -> list[Pass]:
        import torch

        with torch.inference_mode():
            features = self._model.preprocess(texts)
            out = self._model.forward(features)
            vectors = torch.nn.functional.normalize(out["sentence_embedding"], dim=1).numpy().astype(np.float32)
            early, last = in_bytes(self._early.numpy()), in_bytes(out["token_embeddings"].numpy())
        ids = features["input_ids"].numpy()
        made = []
        for row, length in enumerate(out["attention_mask"].sum(1).tolist()):
            inner = slice(1, length - 1)
            made.append(Pass(vectors[row], length, ids[row, inner], early[row, inner], last[row, inner]))
        return made


def _fingerprint(model: Any) -> str:
    """Of the structure and all weights: vectors of equally named but different models are not compared."""
    import torch

    digest = blake2b(str(model).encode(), digest_size=6)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
