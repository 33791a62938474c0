"""What a plot is made of.

A plot's knot ties a trouble to the turn that undoes it; wish, deed and ending name the same things, so that the end of
a story answers its beginning. Slots: `N` hero, `they them their self` the hero's pronouns, `H` helper (introduced by
`{meet}`), `hthey hthem htheir` the helper's; the rest are a plot's themes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Knot:
    """A trouble, the turn that answers it, and the deed by which the hero takes the turn."""

    trouble: Sequence[str]
    turn: Sequence[str]
    deed: Sequence[str]


@dataclass(frozen=True)
class Plot:
    """One family of stories. `themes` maps each theme slot to its values; `ask` is the wish as a verb phrase."""

    name: str
    themes: dict[str, Sequence[str]]
    ask: str
    wish: Sequence[str]
    knots: Sequence[Knot]
    ending: Sequence[str]
