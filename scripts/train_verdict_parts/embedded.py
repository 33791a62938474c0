"""Every text's vector and tokens, computed once and kept in files: some 10 KB a text, so not all in memory."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from balancer.adapters.embedder.model import EARLY_LAYER, TOKENS_KEPT_MAX, EmbeddingModel

_BATCH: Final = 64
_SORTED_TOGETHER: Final = 4096
_FILES: Final = ("texts", "counts", "vectors", "tokens")


class Embedded:
    """Texts, their unit vectors and their tokens in bytes; a text that could not be read whole is not among them."""

    def __init__(self, texts: Iterable[str], work: Path, model: EmbeddingModel) -> None:
        """Compute what does not lie in ``work`` yet, some 500 texts a second, and keep it there for the next time."""
        folder = work / f"{model.id}-{EARLY_LAYER}-{TOKENS_KEPT_MAX}"
        folder.mkdir(parents=True, exist_ok=True)
        self.dimension, self.width = model.dimension, 2 * model.dimension
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._cut_to_whole(folder)
            missing = [text for text in dict.fromkeys(texts) if text not in known]
            _append(missing, folder, model)
            known |= {text: len(known) + row for row, text in enumerate(missing)}
            counts = np.fromfile(folder / "counts", np.int32)
            self._vectors = np.memmap(folder / "vectors", np.float16, "r").reshape(-1, self.dimension)
            self._tokens = np.memmap(folder / "tokens", np.int8, "r").reshape(-1, self.width)
        self._row = {text: row for text, row in known.items() if counts[row] > 0}
        self._ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

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

    def _cut_to_whole(self, folder: Path) -> dict[str, int]:
        """The texts that all files hold; what an interrupted run left behind them is cut off."""
        for name in _FILES:
            (folder / name).touch()
        counts = np.fromfile(folder / "counts", np.int32)
        lines = (folder / "texts").read_bytes().split(b"\n")[:-1]
        ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        tokens = (folder / "tokens").stat().st_size // self.width
        rows = min(len(lines), len(counts), (folder / "vectors").stat().st_size // (2 * self.dimension))
        rows = min(rows, int(np.searchsorted(ends, tokens, "right")) - 1)
        sizes = (sum(len(line) + 1 for line in lines[:rows]), 4 * rows, 2 * self.dimension * rows)
        for name, size in zip(_FILES, (*sizes, self.width * int(ends[rows])), strict=True):
            with (folder / name).open("r+b") as file:
                file.truncate(size)
        return {json.loads(line): row for row, line in enumerate(lines[:rows])}


def _append(texts: list[str], folder: Path, model: EmbeddingModel) -> None:
    names, counts, vectors, tokens = ((folder / name).open("ab") for name in _FILES)
    with names, counts, vectors, tokens:
        for start in range(0, len(texts), _SORTED_TOGETHER):
            part = texts[start : start + _SORTED_TOGETHER]
            order = sorted(range(len(part)), key=lambda at: len(part[at]))
            found: dict[int, Any] = {}
            for at in range(0, len(order), _BATCH):
                rows = order[at : at + _BATCH]
                found.update(zip(rows, zip(*model.read([part[row] for row in rows]), strict=True), strict=True))
            for row, text in enumerate(part):
                vector, read = found[row]
                usable = vector is not None and read is not None and len(read)
                counts.write(np.int32(len(read) if usable else 0).tobytes())
                vectors.write((vector if usable else np.zeros(model.dimension)).astype(np.float16).tobytes())
                if usable:
                    tokens.write(read.tobytes())
                names.write(json.dumps(text).encode() + b"\n")
            print(f"embedded {start + len(part)} of {len(texts)} texts", file=sys.stderr, flush=True)
