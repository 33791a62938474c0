"""Files of labelled pairs: tab-separated, perhaps gzipped, with a head line."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """Two texts, and 1 where one's answer is the other's too."""

    a: str
    b: str
    duplicate: int


def read_pairs(path: Path) -> list[Pair]:
    """Columns a, b and duplicate (or negated, which is its opposite); :class:`ValueError` for any other file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t")
        head = next(rows, [])
        try:
            a, b = head.index("a"), head.index("b")
            turned = "duplicate" not in head
            label = head.index("negated" if turned else "duplicate")
            return [Pair(row[a], row[b], (row[label] == "1") != turned) for row in rows if row]
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path}: no columns a, b, duplicate: {error}") from None
