"""Files of labelled pairs: tab-separated, perhaps gzipped, with a head line."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_LABELS: Final = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


class Pair(NamedTuple):
    """Two texts, and 1 where one's answer is the other's too."""

    a: str
    b: str
    duplicate: int


def read_pairs(path: Path) -> list[Pair]:
    """Columns a, b and duplicate (or negated, which is its opposite), others are passed over.

    Fields may be quoted as in CSV; in a file where that can't be, quotes are letters. `ValueError` tells what
    is wrong with another file, and where; `OSError` that it can't be read.
    """
    text = _text(path)
    try:
        return _pairs(csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True))
    except (csv.Error, ValueError):
        try:
            return _pairs(line.split("\t") for line in text.splitlines())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: a damaged gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no UTF-8 at byte {error.start}") from None


def _pairs(rows: Iterable[list[str]]) -> list[Pair]:
    lines = iter(rows)
    head = next(lines, [])
    turned = "duplicate" not in head
    missing = [name for name in ("a", "b", "negated" if "negated" in head else "duplicate") if name not in head]
    if missing:
        raise ValueError(f"the head line needs the columns a, b, duplicate; it has no {', '.join(missing)}")
    a, b, label = head.index("a"), head.index("b"), head.index("negated" if turned else "duplicate")
    found = []
    for number, row in enumerate(lines, 2):
        if not any(row):
            continue
        if len(row) != len(head):
            raise ValueError(f"row {number} has {len(row)} columns, the head line {len(head)}")
        value = _LABELS.get(row[label].strip().lower())
        if value is None:
            raise ValueError(f"row {number}: {head[label]} is {row[label]!r}, neither 0 nor 1")
        found.append(Pair(row[a], row[b], 1 - value if turned else value))
    return found
