"""Who is named in a story, whether everybody was introduced, and whether the hero stays the hero.

A name is a capitalised word that no sentence start explains: inside a sentence any capital counts, at its start only a
word that the grammar does not know as an ordinary one. It is introduced when it stands in the prompt, when it is the
hero's (the first one named), or when it first comes after words that introduce ("named", "whose name was", "in").
"""

# ruff: noqa: SIM905 - word lists: one string a list, as dense as prose

from __future__ import annotations

import functools
import re

from backend.storyteller import beats, plots, prompts, stories, synonyms, themes, words

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_START = re.compile(r'(?:^\s*|[.!?:…]["”’)]*\s+|["“(]|\n)["“‘(]*$')
_INTRODUCED = re.compile(r"\b(?:named|called|in|from|of|names? (?:was|is))\s+$", re.IGNORECASE)
_CAPITALS = frozenset(
    "I I'm I've I'd I'll Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Sundays Fridays January "
    "February March April May June July August September October November December Christmas Easter English French "
    "German Spanish Latin Mr Mrs Miss God Python Rust".split()
)
_LAST_PART = 0.5
_MENTIONS = 3


@functools.cache
def ordinary_words() -> frozenset[str]:
    """Every word, small, that the grammar may write itself; names and places that are names are not among them."""
    texts: list[str] = []
    for plot in plots.PLOTS:
        parts = [plot.wish, plot.ending]
        for knot in plot.knots:
            parts += [knot.trouble, knot.turn, knot.deed]
        texts += [synonyms.vary(text) for beat in parts for text in beat]
        texts += [value for values in plot.themes.values() for value in values]
    for group in (beats.OPENINGS, beats.SCENES, beats.INTRODUCTIONS, beats.HABITS, beats.FAREWELLS):
        texts += [synonyms.vary(text) for text in group]
    texts += [synonyms.vary(text) for beat in beats.SEQUELS for text in beat]
    texts += [text for rule in stories.RULES.values() for text in rule]
    texts += [*words.PLACES, *words.ROLES, *words.ANIMALS, *words.MANNERS, *words.HER_KINDS, *words.HIS_KINDS]
    texts += [*words.HELPER_KINDS, *words.HELPER_MANNERS, *themes.SPOTS, *themes.SMALL_THINGS, *themes.BIG_THINGS]
    texts += [*themes.WATCHERS, *beats.SNACKS, *prompts.ANSWERS, "she he her his him they them their nowhere one"]
    return frozenset(word.lower() for text in texts for word in _WORD.findall(re.sub(r"\{[^{}]*\}", " ", text)))


def _found(text: str) -> list[tuple[str, int]]:
    """Each name with the place it stands at, in order."""
    capitals = [
        (found.group().removesuffix("'s").removesuffix("’s"), found.start())
        for found in _WORD.finditer(text)
        if found.group()[0].isupper()
    ]
    names = []
    for word, at in capitals:
        if word in _CAPITALS or word.partition("'")[0] in _CAPITALS:
            continue
        starts = _START.search(text[max(0, at - 8) : at]) is not None if at else True
        if not starts or word.lower() not in ordinary_words():
            names.append((word, at))
    return names


def names(text: str) -> list[str]:
    """The names in `text`, each once, in the order of their first mention."""
    return list(dict.fromkeys(name for name, _ in _found(text)))


def begins_with_name(text: str) -> bool:
    """Whether any paragraph does."""
    first = (found.group() for part in text.split("\n\n") if (found := _WORD.search(part)))
    return any(word.lower() not in ordinary_words() and word not in _CAPITALS for word in first)


def strangers(prompt: str, story: str, hero: str | None) -> list[str]:
    """Names that `story` uses before anybody introduced them."""
    known = {word.lower() for word in _WORD.findall(prompt)}
    known |= {word.lower().removesuffix("'s") for word in _WORD.findall(prompt)}
    if hero:
        known.add(hero.lower())
    unknown: list[str] = []
    for name, at in _found(story):
        if name.lower() in known:
            continue
        known.add(name.lower())
        if not _INTRODUCED.search(story[:at]):
            unknown.append(name)
    return unknown


def keeps_hero(story: str, hero: str) -> bool:
    """Whether `hero` is named at least three times in `story`, and still in its second half."""
    mentions = [found.start() for found in re.finditer(rf"\b{re.escape(hero)}\b", story)]
    return len(mentions) >= _MENTIONS and mentions[-1] >= _LAST_PART * len(story)
