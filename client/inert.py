"""Model output as text that a terminal only shows and never obeys. Pure."""

from __future__ import annotations

from typing import Final

_PICTURES: Final = 0x2400  # Unicode's pictures of the control characters: U+241B shows ESC
_DELETE: Final = 0x7F
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

_KEPT: Final = frozenset("\n\t")
_TABLE: Final[dict[int, str | None]] = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in _KEPT},
    ord("\r"): None,  # it could overwrite the line before it; in CR LF it adds nothing
    _DELETE: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT),  # C1: 0x9B starts a sequence as ESC [ does
    **dict.fromkeys(range(0x202A, 0x202F), _REPLACEMENT),  # embeddings and overrides of the text's direction
    **dict.fromkeys(range(0x2066, 0x206A), _REPLACEMENT),  # isolates: text that reads otherwise than it stands
    **dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT),  # lone surrogates can't be encoded
    0x2028: "\n",
    0x2029: "\n",
}


def inert(text: str) -> str:
    """``text`` without anything a terminal would act on, but for line feed and tab.

    Each character stands for itself, so any split of a text gives the same result.
    """
    return text.translate(_TABLE)


def inert_line(text: str) -> str:
    """As `inert`, on one line: for names and messages that come from elsewhere."""
    return " ".join(inert(text).split())
