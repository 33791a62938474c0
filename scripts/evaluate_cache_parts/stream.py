"""A stream of requests as a cache sees them: popular questions in many words, near ones that differ, and others.

Groups of questions that mean the same come from labelled duplicates. How often a group is asked follows Zipf's law;
a request draws one of its texts, perhaps in another form (in lower case, with a greeting, a slip of the finger).
Beside them come questions that are near a popular one but labelled different, such ones of our own making (another
number, name, polarity, order), and prompts that come once. Of each request the group is known, so whether an answer
is right is, too: as far as the labels are.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, Literal, NamedTuple

from scripts.labelled_pairs import Pair
from scripts.train_verdict_parts.negatives import name_pool, negatives, same_in_other_form
from scripts.train_verdict_parts.splitting import groups

Kind = Literal["known", "near", "once"]

SECONDS_MEDIAN: Final = 4.0
"""What an answer takes to be made."""
_SECONDS_SPREAD: Final = 0.6
_GROUP_MIN: Final = 2
_TRIES: Final = 100


class Shape(NamedTuple):
    """What the stream is mixed of."""

    requests: int = 10_000
    zipf: float = 0.9
    """The group of rank ``r`` is asked in proportion to ``r ** -zipf``."""
    near: float = 0.15
    """Share of requests that lie near a group and are of none."""
    once: float = 0.25
    """Share of prompts that have nothing to do with any other."""
    reworded: float = 0.3
    """Share of a group's requests that come in another form than the labelled texts."""


class Request(NamedTuple):
    """One."""

    text: str
    group: int
    """Equal for requests that one answer serves."""
    kind: Kind
    seconds: float
    """What a backend takes to answer it."""


def make_stream(pairs: Sequence[Pair], others: Sequence[str], shape: Shape, seed: int) -> list[Request]:
    """The same for equal arguments; `ValueError` where the pairs hold too few groups."""
    rng = random.Random(seed)
    known = [group for group in same_groups(pairs) if len(group) >= _GROUP_MIN]
    if len(known) < 2:
        raise ValueError("too few duplicates to make a stream of")
    rng.shuffle(known)
    number = {text: at for at, group in enumerate(known) for text in group}
    near = _near_texts(pairs, known, number, rng)
    once = list(dict.fromkeys([*others, *_lone_texts(pairs)]))
    rng.shuffle(once)
    weights = list(accumulate((rank + 1) ** -shape.zipf for rank in range(len(known))))
    own: dict[str, int] = {}
    seconds = [_seconds(rng) for _ in known]
    forms: dict[str, list[str]] = {}
    found = []

    def popular(among: Callable[[int], object]) -> int:
        drawn = (bisect(weights, rng.random() * weights[-1]) for _ in range(_TRIES))
        return next((group for group in drawn if among(group)), 0)

    for _ in range(shape.requests):
        draw = rng.random()
        if draw < shape.once and once:
            text = once.pop()
            kind: Kind = "once"
        elif shape.once <= draw < shape.once + shape.near and near.get(group := popular(near.get)):
            text, kind = rng.choice(near[group]), "near"
        else:
            group = popular(lambda _: True)
            text = rng.choice(known[group])
            if rng.random() < shape.reworded:
                text = rng.choice(forms.setdefault(text, _forms(text, rng)))
            found.append(Request(text, group, "known", seconds[group]))
            continue
        if text not in own:
            own[text] = len(seconds)
            seconds.append(_seconds(rng))
        found.append(Request(text, own[text], kind, seconds[own[text]]))
    return found


def same_groups(pairs: Sequence[Pair]) -> list[list[str]]:
    """Texts that the labels join by duplicates, or that are the same but for capitals and marks; in order."""
    alone = [Pair(text, text, 1) for pair in pairs for text in (pair.a, pair.b)]
    name = groups([pair for pair in pairs if pair.duplicate] + alone)
    members: dict[str, list[str]] = {}
    for text in sorted(name):
        members.setdefault(name[text], []).append(text)
    return [members[one] for one in sorted(members)]


def _near_texts(
    pairs: Sequence[Pair], known: list[list[str]], number: dict[str, int], rng: random.Random
) -> dict[int, list[str]]:
    """For each group what lies near and is none of it: labelled ones, and some of our own making."""
    found: dict[int, list[str]] = {}
    for pair in pairs:
        for text, other in ((pair.a, pair.b), (pair.b, pair.a)):
            if not pair.duplicate and text in number and other not in number:
                found.setdefault(number[text], []).append(other)
    names = name_pool(text for group in known for text in group)
    for at, group in enumerate(known):
        made = negatives([(group[0], group[-1], 1)], names, rng)
        texts = [text for one in made for text in (one.a, one.b) if text not in number]
        found.setdefault(at, []).extend(texts)
    return found


def _lone_texts(pairs: Sequence[Pair]) -> list[str]:
    """Texts of pairs neither of which is in a group: no other text of the stream is near them by the labels."""
    grouped = {text for pair in pairs if pair.duplicate for text in (pair.a, pair.b)}
    return sorted(pair.a for pair in pairs if pair.a not in grouped and pair.b not in grouped)


def _forms(text: str, rng: random.Random) -> list[str]:
    made = same_in_other_form([text] * 3, rng)
    return [one.a if one.b == text else one.b for one in made] or [text]


def _seconds(rng: random.Random) -> float:
    return round(SECONDS_MEDIAN * rng.lognormvariate(0, _SECONDS_SPREAD), 3)
