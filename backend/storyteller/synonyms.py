"""Other words for the same: each phrase of a template outside its own choices becomes a choice among these."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

_ALIKE = (
    "more than anything in the world,|above everything else,|more than all the gold there is,",
    "more than anything,|above all,|most of all,|more than anything else,",
    "the trouble was|the sad thing was|the hard part was|what made it hard was",
    "wanted nothing more than to|wished only to|longed to|hoped with all {their} heart to",
    "wanted to|wished to|longed to|hoped to",
    "in the morning|at daybreak|when the sun came up|at breakfast time",
    "from that day on,|ever since,|from that hour on,|since then,",
    "from then on,|after that,",
    "little by little|bit by bit|slowly",
    "after a while|in time|at length|presently",
    "at last|in the end|finally",
    "at once|right away|without waiting",
    "all night|the whole night|till morning",
    "each year|every year|once a year",
    "each day|every day",
    "nobody|no one",
    "everyone|everybody",
    "each time|every time",
    "small|tiny",
    "someone|somebody",
    "anyone|anybody",
    "began to|started to",
    "looked at|gazed at|peered at",
    "as if|as though",
    "sat down|settled down|took a seat",
    "came by|came along|passed by|walked past",
    "terrible|dreadful|frightening",
    "crying|weeping|sobbing",
    "laughed|chuckled|giggled",
    "quiet|silent|still",
    "until|till",
    "though|although",
    "could not|couldn't",
    "did not|didn't",
    "do not|don't",
    "would not|wouldn't",
    "i will|I'll",
    "hardly|scarcely",
    "perhaps|maybe",
    "brave|bold|daring",
    "afraid|scared|frightened",
    "stumbled|slipped|tripped",
    "kept on|went on|did not give up",
    "trembled|shook|quivered",
    "whistled|hummed|sang to {self}",
    "promised|swore|gave {their} word",
    "fell silent|went quiet|hushed",
    "far away|a long way off|beyond the hills",
    "lovely|fine|good",
    "it gave way|it moved|something came loose",
    "out of the dark|out of the shadows|from the darkness",
    "on the ground|on the stones|at {their} feet",
    "in the wind|on a windy day|in a breeze",
    "side by side|arm in arm|shoulder to shoulder",
    "step by step|one step after another|foot by foot",
    "hand in hand|side by side|together",
    "and then|then|and after that",
    "for luck|for good luck|just in case",
    "was never late for|never missed|always came early for",
    "slept well|slept soundly|rose early",
    "worked hard|worked all day|was never idle",
    "found that|noticed that|was amazed that",
    "to see|to look at|to behold",
    "came home|returned|went home",
    "needs us both|needs our help|is waiting for us",
    "it was quiet for|nothing happened for|all was well for",
    "forgot|quite forgot",
    "grew|became",
    "before {them}|in front of {them}",
    "behind {them}|at {their} back",
    'said, "|whispered, "|called, "',
    "a long silence|a long pause|silence for a moment",
    "the night before,|on the eve of it,|the evening before,",
    "lived alone|kept to {self}",
    "used to tell of|often spoke of|told me about",
)
_ENTRIES = {entry.split("|")[0]: entry for entry in _ALIKE}
_PHRASE = re.compile(
    r"(?<![\w{'])(?:" + "|".join(re.escape(key) for key in sorted(_ENTRIES, key=len, reverse=True)) + r")(?![\w}'])",
    re.IGNORECASE,
)
_SPEECH = re.compile(r"(?<=[,.?!]\" )said \{H\}|\{H\} said(?=,)|(?<=[,.?!]\" )\{H\} said|(?<=[,.?!]\" )said \{N\}")
_TOKENS = re.compile(r"(\[[^\[\]]*\])")


def _speech(found: re.Match[str]) -> str:
    who = "{H}" if "{H}" in found.group() else "{N}"
    return (
        f"[said {who}|{who} said|{who} answered|replied {who}|murmured {who}]"
        if found.group().startswith("said")
        else (f"{who} [said|answered|replied|murmured]")
    )


def _alike(found: re.Match[str]) -> str:
    text = found.group()
    return f"[{text}|{_ENTRIES[text.lower()].partition('|')[2]}]"


def _vary_plain(text: str) -> str:
    text = _PHRASE.sub(_alike, text)
    parts = _TOKENS.split(text)
    starts = re.compile(r"(?:^|(?<=[.!?] ))(But|So|Then) (?=[{a-z])")
    openers = {"But": "[but|yet|still,|alas,|only,]", "So": "[so|and so]", "Then": "[then|that was when]"}
    for at in range(0, len(parts), 2):
        part = starts.sub(lambda found: openers[found.group(1)] + " ", parts[at]) if at == 0 else parts[at]
        parts[at] = re.sub(r"(?:^|(?<=[.!?] ))\{They\}(?! (?:was|is|thinks|goes))", "[{They}|{N}]", part)
    return "".join(parts)


@functools.cache
def vary(template: str) -> str:
    """`template` with a choice wherever a phrase has others like it; its own choices stay as they are."""
    parts = _TOKENS.split(_TOKENS.sub(r"\1", template))
    varied = []
    for part in parts:
        if part.startswith("["):
            varied.append(part)
            continue
        pieces = _TOKENS.split(_SPEECH.sub(_speech, part))
        varied.extend(piece if piece.startswith("[") else _vary_plain(piece) for piece in pieces)
    return "".join(varied)


def vary_all(templates: Sequence[str]) -> tuple[str, ...]:
    """Each of `templates`, varied."""
    return tuple(vary(template) for template in templates)
