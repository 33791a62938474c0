"""Every text's vector and tokens, computed once and kept in files: some 10 KB a text, so not all in memory."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from balancer.adapters.embedder.model import EmbeddingModel

_BATCH: Final = 64
_SORTED_TOGETHER: Final = 4096


class Embedded:
    """Texts, their unit vectors and their tokens in bytes; a text that could not be read whole is not among them."""

    def __init__(self, texts: list[str], work: Path, model: EmbeddingModel) -> None:
        """Take what lies in ``work`` if it is of the same texts and model, else compute it there."""
        digest = blake2b(json.dumps([model.id, texts]).encode(), digest_size=8).hexdigest()
        stem = work / f"texts-{digest}"
        if not stem.with_suffix(".done").exists():
            work.mkdir(parents=True, exist_ok=True)
            _compute(texts, stem, model)
        counts = np.fromfile(stem.with_suffix(".counts"), np.int32)
        self._row = {text: row for row, text in enumerate(texts) if counts[row] > 0}
        self._ends = np.concatenate([[0], np.cumsum(np.maximum(counts, 0), dtype=np.int64)])
        self._vectors = np.fromfile(stem.with_suffix(".vectors"), np.float16).reshape(len(texts), -1)
        self._tokens = np.memmap(stem.with_suffix(".tokens"), np.int8, "r").reshape(int(self._ends[-1]), -1)
        self.dimension = self._vectors.shape[1]
        self.width = self._tokens.shape[1]

    def __contains__(self, text: str) -> bool:
        return text in self._row

    def vector(self, text: str) -> NDArray[np.float32]:
        """The unit vector."""
        found: NDArray[np.float32] = self._vectors[self._row[text]].astype(np.float32)
        return found

    def tokens(self, text: str) -> NDArray[np.int8]:
        """A row a token."""
        row = self._row[text]
        return self._tokens[self._ends[row] : self._ends[row + 1]]


def _compute(texts: list[str], stem: Path, model: EmbeddingModel) -> None:
    with (
        stem.with_suffix(".counts").open("wb") as counts,
        stem.with_suffix(".vectors").open("wb") as vectors,
        stem.with_suffix(".tokens").open("wb") as tokens,
    ):
        for start in range(0, len(texts), _SORTED_TOGETHER):
            part = texts[start : start + _SORTED_TOGETHER]
            order = sorted(range(len(part)), key=lambda at: len(part[at]))
            found: dict[int, Any] = {}
            for at in range(0, len(order), _BATCH):
                rows = order[at : at + _BATCH]
                found.update(zip(rows, zip(*model.read([part[row] for row in rows]), strict=True), strict=True))
            for row in range(len(part)):
                vector, read = found[row]
                usable = vector is not None and read is not None and len(read)
                counts.write(np.int32(len(read) if usable else 0).tobytes())
                vectors.write((vector if usable else np.zeros(model.dimension)).astype(np.float16).tobytes())
                if usable:
                    tokens.write(read.tobytes())
            print(f"embedded {start + len(part)} of {len(texts)} texts", flush=True)
    stem.with_suffix(".done").touch()
