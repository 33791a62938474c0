"""What a text says in words: its content words by weight, its names, quotes and code, directions and opposites.

Computed from at most :data:`TEXT_MAX` characters of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from zlib import crc32

from balancer.cache.signature import Signature, signature

TEXT_MAX: Final = 2000
"""Characters that are looked at; a longer text is only ever served to an equal one."""
BUCKETS: Final = 1 << 14
"""Of the table of word weights."""

# Every repetition is bounded where what follows can fail: such a text must not take quadratic time.
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*(?:\+\+|#)?")
_QUOTED: Final = re.compile(
    r"\"([^\"]{1,200})\"|“([^”]{1,200})”|(?<!\w)'([^']{1,200})'(?!\w)|‘([^’]{1,200})’(?!\w)|`+([^`]{1,200})`+"
)
_ADDRESS: Final = re.compile(
    r"\b(?:https?://|www\.)\S+|\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.]+"
    r"|\b\w{1,64}\.(?:com|org|net|io|ai|py|js|txt|csv|json)\b"
    r"|(?<!\w)(?:~|\.{1,2}|[\w.-]{1,64}/[\w.-]{1,64})?/[\w./-]{0,64}\w"
)
_CODE: Final = re.compile(
    r"\b[A-Za-z_]\w{0,64}\([^)]{0,64}\)|\b[^\W_]{1,64}(?:_[^\W_]{1,64})+|\b\w{1,64}::\w+|--?[a-z][\w-]{1,64}(?==)"
    r"|[{}\[\];]|[=!<>]=|=>|->|&&|\|\|"
)
# A mark that each of these needs; most texts have none, and looking for a mark is far quicker.
_MARKED: Final = (
    (re.compile("[\"“'‘`]"), _QUOTED),
    (re.compile(r"[/@.]"), _ADDRESS),
    (re.compile(r"[(_:={}\[\];>&|]"), _CODE),
)
_SENTENCE_END: Final = frozenset('.?!:;"“(-')


def _set(line: str) -> frozenset[str]:
    return frozenset(line.split())


FUNCTION_WORDS: Final = _set(
    "a an the is are was were be been being am do does did doing done can could should would will shall may might "
    "must i me my mine you your yours we us our he him his she her it its they them their this that these those "
    "there here of to in on at for with by from as into about and or but if so than then too very just also any "
    "some what which who whom whose how why when where have has had having get gets got s t re ve d ll m please "
    "tell give show let one ones up out only really actually i'm i've i'd it's that's what's how's there's who's "
    "don't doesn't didn't isn't aren't can't won't not no"
)
TIME_WORDS: Final = _set(
    "today tomorrow yesterday tonight monday tuesday wednesday thursday friday saturday sunday january february april "
    "june july august september october november december morning afternoon evening night weekend previous upcoming "
    "daily weekly monthly yearly annual annually century decade"
)
_WH: Final = ("what", "how", "why", "who", "which", "when", "where")
_DIRECTIONS: Final = _set("from to into before after than over under versus vs by beat beats without in")
_NOT_NAMES: Final = _set("I I'm I've I'd I'll A An The OK")


class Lexis(NamedTuple):
    """One text."""

    signature: Signature
    words: tuple[str, ...]
    """In lower case, in order."""
    content: dict[str, float]
    """Stem of each word that is no function word, with its weight."""
    stems: tuple[str, ...]
    """Of all words."""
    names: frozenset[str]
    """Words with a capital that does not begin a sentence, in lower case."""
    exact: frozenset[str]
    """What must not differ in a letter: quoted strings, URLs, addresses, code; in lower case."""
    lower: str
    times: frozenset[str]
    asks: str
    """The first question word."""
    relations: frozenset[tuple[str, str, str]]
    """(left stem, "to" and the like, right stem)."""
    whole: bool
    """False: the text is longer than what was looked at."""


def stem(word: str) -> str:
    """The word without its commonest endings: crude, but the same for both sides."""
    word = word.removesuffix("'s")
    if len(word) > 4:
        for ending, put in (
            ("ies", "y"),
            ("sses", "ss"),
            ("ing", ""),
            ("ied", "y"),
            ("ed", ""),
            ("ly", ""),
            ("es", "e"),
            ("s", ""),
        ):
            if word.endswith(ending) and not (ending == "s" and word[-2] in "su"):
                word = word[: -len(ending)] + put
                break
    elif len(word) == 4 and word[-1] == "s" and word[-2] not in "su":
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] == "e" else word


def bucket(stemmed: str) -> int:
    """Where a stem's weight stands."""
    return crc32(stemmed.encode("utf-8", "surrogatepass")) % BUCKETS


def lexis(text: str, weight: Callable[[str], float]) -> Lexis:
    """Look at ``text``; ``weight`` tells how much a stem says, from 0 (said everywhere) to 1 (hardly ever said)."""
    whole = len(text) <= TEXT_MAX
    looked_at = text[:TEXT_MAX]
    spans = [(found.group(), found.start()) for found in _WORD.finditer(looked_at)]
    raw = [word.replace("’", "'") for word, _ in spans]
    words = tuple(word.lower() for word in raw)
    stems = tuple(stem(word) for word in words)
    content = {s: weight(s) for word, s in zip(words, stems, strict=True) if word not in FUNCTION_WORDS}
    names = frozenset(
        stem(word.lower())
        for at, (word, start) in enumerate(zip(raw, (s for _, s in spans), strict=True))
        if at
        and (word[0].isupper() or any(c.isupper() for c in word[1:]))
        and word not in _NOT_NAMES
        and not _begins(text, start)
    )
    if names and sum(1 for w in raw if w[0].isupper()) > max(3, 0.7 * len(raw)):
        names = frozenset()  # a title, or shouting: capitals say nothing there
    exact: set[str] = set()
    for mark, pattern in _MARKED:
        if mark.search(looked_at):
            found = pattern.finditer(looked_at)
            exact.update(next(filter(None, m.groups())).strip(" .,?!") if m.lastindex else m.group() for m in found)
    return Lexis(
        signature(looked_at),
        words,
        content,
        stems,
        names,
        frozenset(part.lower() for part in exact if part),
        text.lower(),
        frozenset(s for w, s in zip(words, stems, strict=True) if w in TIME_WORDS or w.removesuffix("s") in TIME_WORDS),
        next((w for w in words if w in _WH), ""),
        _relations(words, stems, content),
        whole,
    )


def _begins(text: str, start: int) -> bool:
    before = text[:start].rstrip()
    return not before or before[-1] in _SENTENCE_END


def _relations(
    words: tuple[str, ...], stems: tuple[str, ...], content: dict[str, float]
) -> frozenset[tuple[str, str, str]]:
    found = set()
    for at, word in enumerate(words):
        if word in _DIRECTIONS or (word == "of" and words[max(0, at - 1)] == "instead"):
            left = next((s for s in reversed(stems[max(0, at - 4) : at]) if s in content), "")
            right = next((s for s in stems[at + 1 : at + 5] if s in content), "")
            if left or right:
                found.add((left, "vs" if word == "versus" else word, right))
    return frozenset(found)
