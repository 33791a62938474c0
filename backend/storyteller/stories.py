"""One whole story from a random generator: hero, place, habit, wish, trouble, turn, deed, ending.

What is asked for (a kind, a name, a wish, a place) is given as a `Topic`; the rest is drawn. `sequel` goes on with the
same hero and helper.
"""

# ruff: noqa: E501, SIM905 - word lists: one string a list, as dense as prose

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.storyteller import beats, plots, themes, words
from backend.storyteller.grammar import count_any, expand
from backend.storyteller.synonyms import vary, vary_all

_BIRDS = frozenset("owl crow sparrow duck goose hen parrot pigeon heron swan stork raven penguin chick".split())
_PAWED = frozenset(
    "fox cat dog mouse rabbit hedgehog badger otter bear wolf squirrel mole lion tiger kitten puppy koala panda raccoon "
    "hamster weasel kangaroo seal".split()
)

_COLLECTIONS: dict[str, Sequence[str]] = {
    "spot": themes.SPOTS,
    "spot2": themes.SPOTS,
    "spot3": themes.SPOTS,
    "smallthing": themes.SMALL_THINGS,
    "smallthing2": themes.SMALL_THINGS,
    "smallthing3": themes.SMALL_THINGS,
    "bigthing": themes.BIG_THINGS,
    "bigthing0": ("pumpkin", "onion", "potato", "nettle"),
    "bendy": themes.BENDY,
    "redthing": themes.RED,
    "slowthing": themes.SLOW,
    "watchers": themes.WATCHERS,
    "snack": beats.SNACKS,
    "dayadj": plots.RULES["dayadj"],
    "dayadj2": plots.RULES["dayadj"],
    "footwear": plots.RULES["footwear"],
}
RULES = {key: vary_all(rule) for key, rule in plots.RULES.items() if key not in _COLLECTIONS}
_SINGULAR = {"mice": "mouse", "geese": "goose", "fireflies": "firefly"}


@dataclass(frozen=True)
class Topic:
    """What a story must be about; None is drawn at will. `wish` gives (plot name, theme slot, value)."""

    name: str | None = None
    kind: str | None = None
    hers: bool | None = None
    place: str | None = None
    wish: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Story:
    """A told story: its sentences in order and the slots they were filled from."""

    parts: tuple[str, ...]
    slots: dict[str, str] = field(repr=False)
    plot: str

    @property
    def text(self) -> str:
        return " ".join(self.parts)


def _pronouns(hers: bool) -> tuple[str, str, str, str]:
    return ("she", "her", "her", "herself") if hers else ("he", "him", "his", "himself")


def _limbs(kind: str) -> tuple[str, str]:
    if kind in _BIRDS:
        return "wings", "wing"
    return ("paws", "paw") if kind in _PAWED else ("hands", "foot")


def pick_kind(rng: random.Random, hers: bool) -> str:
    """A hero's kind that fits the gender of the name."""
    draw = rng.random()
    if draw < 0.15:
        return rng.choice(words.HER_KINDS if hers else words.HIS_KINDS)
    if draw < 0.57:
        return rng.choice([role for role in words.ROLES if not (role == "giantess" and not hers)])
    return rng.choice(words.ANIMALS) if draw < 0.95 else words.open_kind(rng)


def pick_place(rng: random.Random) -> str:
    """A place to live in, described or named."""
    draw = rng.random()
    if draw < 0.55:
        return _low(expand(rng.choice(words.PLACES), {}, {}, rng))
    name = words.open_place(rng)
    return name if draw < 0.75 else f"the {rng.choice(words.PLACE_NOUNS)} of {name}"


def _low(text: str) -> str:
    return text[0].lower() + text[1:]


def draw_slots(rng: random.Random, topic: Topic, unseen: bool = False) -> dict[str, str]:
    """Hero, helper, place and properties of one story."""
    hers = topic.hers if topic.hers is not None else rng.random() < 0.5
    if topic.kind in words.HER_KINDS or topic.kind in words.HIS_KINDS:
        hers = topic.kind in words.HER_KINDS
    slots = dict.fromkeys(_COLLECTIONS, "")
    for key, values in _COLLECTIONS.items():
        taken = set(slots.values())
        slots[key] = rng.choice([value for value in values if value not in taken] or list(values))
    watchers = slots["watchers"]
    slots["watcher"] = _SINGULAR.get(watchers, watchers.removesuffix("s"))
    kind = topic.kind or pick_kind(rng, hers)
    name = topic.name or words.pick_name(rng, hers, unseen)
    place = topic.place or pick_place(rng)
    manner = rng.choice(words.MANNERS)
    mkind = kind if kind.startswith(("old ", "little ", "tin ")) or rng.random() < 0.3 else f"{manner} {kind}"
    they, them, their, oneself = _pronouns(hers)
    limb, limb1 = _limbs(kind)
    slots |= {"N": name, "kind": kind, "mkind": mkind, "they": they, "them": them, "their": their, "self": oneself}
    slots |= {"place": place, "place0": place, "limb": limb, "limb1": limb1}
    helper_hers = rng.random() < 0.5
    helper_kind = rng.choice([one for one in words.HELPER_KINDS if one != kind])
    if helper_kind in ("ferrywoman", "washerwoman", "grandmother", "goose girl"):
        helper_hers = True
    helper_name = name
    while helper_name[:2] == name[:2]:
        helper_name = words.pick_name(rng, helper_hers)
    adjective = rng.choice(words.HELPER_MANNERS)
    helper = (
        helper_kind
        if helper_kind.split()[0] in words.HELPER_MANNERS or rng.random() < 0.3
        else f"{adjective} {helper_kind}"
    )
    hthey, hthem, htheir, _ = _pronouns(helper_hers)
    slots |= {"H": helper_name, "helper": helper, "hthey": hthey, "Hthey": hthey.capitalize(), "hthem": hthem}
    return slots | {"htheir": htheir}


def tell(rng: random.Random, topic: Topic | None = None, unseen: bool = False) -> Story:
    """A whole story about `topic`; with `unseen` the hero's name is one that is held out of training."""
    topic = topic or Topic()
    slots = draw_slots(rng, topic, unseen)
    plot = rng.choice(plots.PLOTS)
    if topic.wish:
        plot = next(one for one in plots.PLOTS if one.name == topic.wish[0])
    for key, values in plot.themes.items():
        slots[key] = rng.choice(values)
    if topic.wish:
        slots[topic.wish[1]] = topic.wish[2]
    knot = rng.choice(plot.knots)
    told: list[Sequence[str]] = [
        beats.HABITS,
        plot.wish,
        knot.trouble,
        knot.turn,
        knot.deed,
        plot.ending,
        beats.FAREWELLS,
    ]
    if rng.random() < 0.12:
        told[0:0] = [beats.SCENES, beats.INTRODUCTIONS]
    else:
        told[0:0] = [beats.OPENINGS]
    if rng.random() < 0.25:
        told.remove(beats.HABITS)
    parts = [expand(vary(rng.choice(beat)), slots, RULES, rng) for beat in told]
    return Story(tuple(part for part in parts if part), slots, plot.name)


def sequel(rng: random.Random, story: Story) -> Story:
    """What happened next, to the same hero and helper."""
    slots = dict(story.slots)
    for key in ("smallthing", "smallthing2", "smallthing3", "spot", "spot2", "spot3", "watchers", "dayadj", "snack"):
        slots[key] = rng.choice([value for value in _COLLECTIONS[key] if value not in slots.values()])
    return Story(tuple(expand(vary(rng.choice(beat)), slots, RULES, rng) for beat in beats.SEQUELS), slots, "sequel")


def count_stories() -> int:
    """How many different stories there are about one hero and one helper in one place (names not counted).

    A lower bound: it multiplies the choices of the beats every story has, with the values of the slots that occur in
    the beats counted once per plot theme only.
    """
    total = 0
    for plot in plots.PLOTS:
        themes = 1
        for values in plot.themes.values():
            themes *= len(values)
        for knot in plot.knots:
            told = count_any(vary_all(beats.OPENINGS), RULES) * count_any(vary_all(beats.HABITS), RULES)
            for beat in (plot.wish, knot.trouble, knot.turn, knot.deed, plot.ending):
                told *= count_any(vary_all(beat), RULES)
            total += told * themes
    return total
