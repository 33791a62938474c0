"""From conversations to training batches: token ids, targets, and documents of like length side by side.

Each document stands in a row of its own (no other story before it to be confused with), so rows are padded on the
right; with causal attention and ignored targets the padding costs time only, and sorting by length keeps it small.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backend.storyteller.names import begins_with_name, ordinary_words
from backend.storyteller.prompts import Turn, conversation
from backend.storyteller.renaming import renamed

IGNORED = -100
_POOL_DOCUMENTS = 768
_SPLIT_SHARE = 0.08
NAME_WEIGHT = 4.0
_CAPITALISED = re.compile(r" ?\b[A-Z][a-z]+\b")

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Example:
    """One document: `inputs[i]` is followed by `targets[i]`, or by nothing that is learned (`IGNORED`).

    `weights[i]` says how much that target counts: names that came before count more, and so does the token behind one,
    which ends it. A name is either copied right or the story is spoilt, and names are only a few of a story's tokens.
    """

    inputs: list[int]
    targets: list[int]
    weights: list[float]


def example(turns: Sequence[Turn], encode: Encode, end: int, rng: random.Random) -> Example:
    """Tokens and targets of a conversation; the end token is a target only, behind each turn of the storyteller.

    A small share of texts is cut at any character and encoded in two halves, because a prompt may end within what
    would have been one token.
    """
    ids: list[int] = []
    learned: list[bool] = []
    heavy: list[float] = []
    known: set[str] = set()
    ends: set[int] = set()
    for number, turn in enumerate(turns):
        text = turn.text if number == 0 else f"\n\n{turn.text}"
        cut = rng.randrange(len(text)) if rng.random() < _SPLIT_SHARE else 0
        for part, weight in _weighed(text[:cut], known) + _weighed(text[cut:], known):
            new = encode(part)
            weights = [weight] * len(new)
            if weights and heavy and heavy[-1] > 1.0:
                weights[0] = NAME_WEIGHT
            ids += new
            learned += [turn.said] * len(new)
            heavy += weights
        if turn.said:
            ends.add(len(ids) - 1)
    targets = [ids[at + 1] if at + 1 < len(ids) and learned[at + 1] else IGNORED for at in range(len(ids))]
    for at in ends:
        targets[at] = end
    return Example(ids, targets, [*heavy[1:], 1.0])


def _weighed(text: str, known: set[str]) -> list[tuple[str, float]]:
    """`text` in parts with their weights; a part never cuts what would be one token. Adds the names met to `known`."""
    parts: list[tuple[str, float]] = []
    at = 0
    for found in _CAPITALISED.finditer(text):
        name = found.group().strip()
        if name.lower() in ordinary_words():
            continue
        if name in known:
            parts += [(text[at : found.start()], 1.0), (found.group(), NAME_WEIGHT)]
            at = found.end()
        known.add(name)
    return [(part, weight) for part, weight in [*parts, (text[at:], 1.0)] if part]


def documents(seed: int, *, wide_names: bool = False, names_inside: bool = False) -> Iterator[list[Turn]]:
    """The endless training corpus of `seed`; its first n documents are always the same.

    With ``names_inside`` no answer begins with a name: there it has no space before it and so other tokens than in the
    prompt, and small as the model is, it often copies such a name wrong.
    """
    rng, naming = random.Random(seed), random.Random(seed + 2)
    while True:
        turns = conversation(rng)
        if names_inside and any(turn.said and begins_with_name(turn.text) for turn in turns[1:]):
            continue
        yield renamed(turns, naming) if wide_names else turns


def batches(
    seed: int, stream: Iterator[list[Turn]], encode: Encode, end: int, context: int, batch_tokens: int
) -> Iterator[list[Example]]:
    """Endless batches of at most `batch_tokens` tokens, padding included; documents beyond `context` are cut."""
    rng = random.Random(seed + 1)
    while True:
        pool = [example(next(stream), encode, end, rng) for _ in range(_POOL_DOCUMENTS)]
        pool = [Example(one.inputs[:context], one.targets[:context], one.weights[:context]) for one in pool]
        pool.sort(key=lambda one: len(one.inputs))
        ready: list[list[Example]] = [[]]
        for one in pool:
            if ready[-1] and len(one.inputs) * (len(ready[-1]) + 1) > batch_tokens:
                ready.append([])
            ready[-1].append(one)
        rng.shuffle(ready)
        yield from ready
