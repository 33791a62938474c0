"""Other names for the people of a finished conversation, from a much wider set than the stories' own.

The stories' made-up names all sound alike, and a model that saw only those adds a syllable to a name like "Rex". Here
a name may be any short or long run of letters, or a plain word ("Button"), so that nothing but copying is right.
"""

# ruff: noqa: E501, SIM905 - word lists: one string a list, as dense as prose

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from backend.storyteller import themes, words
from backend.storyteller.names import ordinary_words
from backend.storyteller.prompts import Turn

_SHARE = 0.6
_CONSONANTS = "b c d f g h j k l m n p r s t v w x z b d g k l m n r s t th sh ch ll ng nd rt st x gn ld".split()
_VOWELS = "a e i o u y a e i o u a e i o io é".split()
_KNOWN = (
    "Tim Kim Bob Jim Joe Dan Ron Ken Ann Sue Amy Roy Jay Kai Liv Mae Eve Fay Ray Ian Lou Gus Ned Ted Abe Zack Nick Mike "
    "Steve Chris Alex Lucas Mateo Jose Juan Carlos Miguel Anne Marie Susan Linda Carol Diane Helen Irene Joan Karen Lisa "
    "Megan Nancy Paula Rachel Sharon Tracy Wendy Yasmin Zoey Abby Beth Cindy Donna Erin Fiona Gina Heidi Isla Jenny Kelly "
    "Lara Mandy Naomi Patty Robin Sandy Tina Ursula Violet Brian Colin Derek Eric Fred Gary Harry Isaac Jeff Kevin Larry "
    "Mark Neil Owen Phil Quinn Roger Scott Trevor Vince Wayne Dmitri Igor Sergei Hans Fritz Klaus Jürgen Greta Sven Lars "
    "Bjorn Astrid Sigrid Amir Hassan Leyla Noor Ravi Anil Sita Wei Ling Hiro Sakura Kwame Amara Zuri Chidi Buddy Fluffy "
    "Spot Rusty Shadow Biscuit Pepper Ginger Socks Patch Whiskers Bella Coco Lola Pip Squeak Bubbles Nemo Dory Merlin"
).split()
_SHAPES = "CV CVC CVC CVC CVCV CVCC VCV VC CVCVC CVVC CCVC VCVC CVCCV CVCVCV VCCVC CVCCVC CVCVCVC".split()
_NAMED = re.compile(
    r"\b(?:[Nn]amed|[Cc]alled|[Nn]ame was|said|answered|replied|murmured|and|of|about|but|so|But|So)\s+([A-Z]\w+)"
)


def wide_name(rng: random.Random) -> str:
    """A name that may be nearly anything; never one that is held out."""
    while True:
        draw = rng.random()
        if draw < 0.08:
            name = rng.choice(themes.SMALL_THINGS).split()[-1]
        elif draw < 0.45:
            name = rng.choice(_KNOWN)
        else:
            shape = rng.choice(_SHAPES)
            name = "".join(rng.choice(_CONSONANTS if sign == "C" else _VOWELS) for sign in shape)
        name = name.capitalize()
        if 2 <= len(name) <= 12 and not words.held_out(name) and (draw < 0.08 or name.lower() not in ordinary_words()):
            return name


def people(turns: Sequence[Turn]) -> list[str]:
    """The names used at least three times, which places hardly ever are."""
    text = "\n".join(turn.text for turn in turns)
    found = dict.fromkeys(_NAMED.findall(text))
    return [
        name
        for name in found
        if name.lower() not in ordinary_words() and len(re.findall(rf"\b{re.escape(name)}\b", text)) > 2
    ]


def renamed(turns: Sequence[Turn], rng: random.Random) -> list[Turn]:
    """The same conversation; each of its people has another name with a probability of 0.6."""
    new = {name: wide_name(rng) for name in people(turns) if rng.random() < _SHARE}
    if len(set(new.values())) < len(new) or not new:
        return list(turns)
    pattern = re.compile(r"\b(" + "|".join(re.escape(name) for name in new) + r")\b")
    return [Turn(pattern.sub(lambda found: new[found.group()], turn.text), turn.said) for turn in turns]
