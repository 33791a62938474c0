"""What is trained on, what finds thresholds and what measures, told by the texts alone: the same for every script."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, Literal

from scripts.labelled_pairs import Pair

Part = Literal["train", "calibration", "aside"]

ASIDE: Final = 0.11
"""Share of the groups of pairs that nothing is learned from, no threshold either."""
CALIBRATION: Final = 0.11
"""Share of those that thresholds are found on."""
_WORD: Final = re.compile(r"\w+")


def groups(pairs: Iterable[Pair]) -> dict[str, str]:
    """Each text's group: pairs that share a text, but for capitals and marks, are of one group."""
    above: dict[str, str] = {}

    def top(text: str) -> str:
        while above.setdefault(text, text) != text:
            above[text] = above[above[text]]
            text = above[text]
        return text

    plainly = {text: _plain(text) for pair in pairs for text in (pair.a, pair.b)}
    for pair in pairs:
        one, other = top(plainly[pair.a]), top(plainly[pair.b])
        above[max(one, other)] = min(one, other)  # so that a group is named by its first text, whatever the order
    return {text: top(name) for text, name in plainly.items()}


def part_of(group: str) -> Part:
    """Where a group belongs."""
    draw = int.from_bytes(blake2b(group.encode(), digest_size=8).digest()) / 2**64
    return "aside" if draw < ASIDE else "calibration" if draw < ASIDE + CALIBRATION else "train"


def _plain(text: str) -> str:
    """The text's words alone, in lower case."""
    return " ".join(_WORD.findall(text.lower())) or text
