"""What a sentence embedding is blind to and an answer hangs on: the numbers and the negations of a text.

Two texts with different signatures are different questions, however near their embeddings. The opposite is not
claimed. English words; digits of any script. Where a form is not understood the two sides merely differ in it, and
the near match is refused.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from balancer.cache import words

_APOSTROPHES: Final = {ord(mark): "'" for mark in "’‘ʼ′`´＇ʹ"}
_DASHES: Final = {ord(mark): "-" for mark in "−‐‑‒–—﹣－"}
_FOLD: Final = _APOSTROPHES | _DASHES

_TOKEN: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*|°[cf]\b|[-+*/^=<>%$€£°×÷]|\s+")
_CODE_LETTERS_MAX: Final = 2  # "b12" and "d12" are codes; "python3" is also written "python 3"
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Signature(NamedTuple):
    """What must be equal on both sides of a near match."""

    numbers: tuple[str, ...]
    """In the order of the text, each with its unit, and the operators among them."""
    negations: int


def signature(text: str) -> Signature:
    """The numbers and negations of ``text``."""
    folded = unicodedata.normalize("NFKC", text.translate(_FOLD)).translate(_FOLD).lower()
    tokens = _TOKEN.findall(folded)
    return Signature(_numbers(tokens), sum(map(_is_negation, tokens)))


def _is_negation(word: str) -> bool:
    return word in words.NEGATIONS or word.endswith("n't") or word in words.BARE_CONTRACTIONS


def _numbers(tokens: list[str]) -> tuple[str, ...]:
    """Numbers with their units, and the operators beside them, in order."""
    found: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token in words.CURRENCIES and at + 1 < len(tokens) and tokens[at + 1][0].isdecimal():
            found.append(_digits(tokens[at + 1]) + token)
            at += 2
        elif _starts_number(token):
            number, after = _number(tokens, at)
            if token != "one" or number != "1":  # "how can one learn", "the best one"
                found.append(_code_letters(tokens, at) + number)
            at = after
        else:
            if (symbol := _operator(tokens, at)) is not None:
                found.append(symbol)
            at += 1
    return tuple(found)


def _starts_number(token: str) -> bool:
    return (
        token[0].isdecimal()
        or token in words.SMALL
        or token in words.TENS
        or token in words.SCALES
        or token in words.ORDINALS
        or token in words.QUANTITIES
        or token in words.ROMAN
    )


def _number(tokens: list[str], at: int) -> tuple[str, int]:
    """One number with its unit, and where it ends."""
    token = tokens[at]
    if token in words.ORDINALS:
        return f"{words.ORDINALS[token]}th", at + 1
    if token[0].isdecimal():
        value, at = _digits(token), at + 1
    elif token in words.QUANTITIES:
        value, at = token, at + 1
    elif token in words.ROMAN:
        value, at = str(words.ROMAN[token]), at + 1
    else:
        value, at = _spelled(tokens, at)
    unit, at = _unit(tokens, at)
    return value + unit, at


def _code_letters(tokens: list[str], at: int) -> str:
    """The one or two letters glued to the front of a number."""
    if at and tokens[at][0].isdecimal() and tokens[at - 1].isalpha() and len(tokens[at - 1]) <= _CODE_LETTERS_MAX:
        return tokens[at - 1]
    return ""


def _digits(token: str) -> str:
    return token.replace(",", "") if _THOUSANDS.fullmatch(token) else token


def _spelled(tokens: list[str], at: int) -> tuple[str, int]:
    """The value of a run of number words from ``at``, as digits, and where the run ends."""
    total = group = 0
    while True:
        word = tokens[at]
        if word in words.TENS:
            kind, group = "tens", group + words.TENS[word]
        elif word in words.SMALL:
            kind, group = "small", group + words.SMALL[word]
        elif word == "hundred":
            kind, group = "scale", (group or 1) * 100
        else:
            kind, total, group = "scale", total + (group or 1) * words.SCALES[word], 0
        following = _next_word(tokens, at + 1)
        if following is None or not _continues(kind, tokens[following]):
            return str(total + group), at + 1
        at = following


def _continues(kind: str, word: str) -> bool:
    """Whether a number word goes on with ``word``: "twenty three" and "two hundred", not "two three"."""
    if word in words.SCALES:
        return True
    if kind == "tens":
        return 0 < words.SMALL.get(word, 0) < 10
    return kind == "scale" and (word in words.TENS or word in words.SMALL)


def _next_word(tokens: list[str], at: int) -> int | None:
    """The next token that is neither space nor hyphen."""
    while at < len(tokens) and (tokens[at].isspace() or tokens[at] == "-"):
        at += 1
    return at if at < len(tokens) else None


def _unit(tokens: list[str], at: int) -> tuple[str, int]:
    """What is glued to a number that ends before ``at``, or the known unit after a space, and where it ends."""
    if at < len(tokens) and (tokens[at][0].isalpha() or tokens[at] in words.UNITS):
        glued = tokens[at]
        return ("th" if glued in ("st", "nd", "rd", "th") else words.UNITS.get(glued, glued)), at + 1
    following = _next_word(tokens, at)
    if following is not None and tokens[following] in words.UNITS:
        return words.UNITS[tokens[following]], following + 1
    return "", at


def _operator(tokens: list[str], at: int) -> str | None:
    """The sign at ``at`` if it belongs to a number: "-5", "17 + 23", "times 23", "18+"; not the one in "and/or"."""
    token = tokens[at]
    if token.isspace() or (token[0].isalnum() and token not in words.OPERATORS):
        return None
    glued_left = at > 0 and not tokens[at - 1].isspace()
    if token == "-" and glued_left and tokens[at - 1].isalpha():
        return None  # the hyphen of "covid-19"
    following = at + 1
    while following < len(tokens) and (tokens[following].isspace() or tokens[following] == "by"):
        following += 1
    before_number = following < len(tokens) and _starts_number(tokens[following])
    after_number = glued_left and tokens[at - 1][0].isdecimal() and not token.isalpha()
    return words.OPERATORS.get(token, token) if before_number or after_number else None
