"""All plots, and the rules they share: how a helper is met, how time goes by."""

# ruff: noqa: E501 - prose: one text a line

from __future__ import annotations

from collections.abc import Sequence

from backend.storyteller.company import COMPANY
from backend.storyteller.plot import Plot
from backend.storyteller.quests import QUESTS
from backend.storyteller.riddles import RIDDLES

PLOTS: tuple[Plot, ...] = (*QUESTS, *COMPANY, *RIDDLES)

RULES: dict[str, Sequence[str]] = {
    "meet": (
        "[Then|Just then|It was then that] {a helper} named {H} came by, [carrying|with] {a smallthing3}.",
        "On {a dayadj2} [morning|evening|afternoon], {N} met {a helper} named {H} [near|beside|behind] the {spot3}.",
        "{N} sat down by the {spot3} and sighed, and {a helper} named {H} heard it.",
        "{A helper} lived [close by|near the {spot3}], and {htheir} name was {H}. {N} went to ask {hthem}.",
        "But [under|beside] the {spot3} sat {a helper} called {H}, who had [seen|heard] everything.",
        "At last {N} told {their} trouble to {a helper} named {H}, who was [mending|polishing|counting] {a smallthing3}.",
    ),
    "passing": (
        "After [three|seven|nine|twenty] [days|nights|weeks],",
        "Little by little,",
        "One {dayadj2} [morning|evening],",
        "Before the [snow|leaves|apples|swallows] came,",
        "When the moon was [full|thin|new] again,",
        "By [Friday|Sunday|midsummer],",
    ),
    "passing_low": ("after [three|seven|nine] [days|nights|weeks]", "little by little", "by [Friday|Sunday|midsummer]"),
    "from_here": ("from here", "like you", "in this street", "so small", "with such ears"),
    "dayadj": (
        "grey",
        "windy",
        "frosty",
        "bright",
        "foggy",
        "rainy",
        "golden",
        "stormy",
        "still",
        "starry",
        "sultry",
        "muddy",
        "snowy",
        "pale",
    ),
    "footwear": ("boots", "shoes", "slippers", "socks", "toes", "stockings"),
}
