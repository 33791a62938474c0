"""The hard gates: differences that no score may outvote. They fail closed: what is not understood differs."""

from __future__ import annotations

from typing import Final

from balancer.cache import antonyms
from balancer.cache.lexicon import Lexis

_ABOUT: Final = ("than", "into", "instead", "before", "after", "over", "beat", "beats", "without")


def flips(new: Lexis, old: Lexis) -> tuple[int, int]:
    """How many negations one has more than the other, and how many words of one are opposites of the other's."""
    more = abs(new.signature.negations - old.signature.negations)
    here, there = set(new.words) - set(old.words), set(old.words) - set(new.words)
    return more, sum(1 for word in here if any(antonyms.opposite(word, other) for other in there))


def refusal(new: Lexis, old: Lexis) -> str | None:
    """Why one's answer can't be the other's whatever the score says, or ``None``."""
    if new.lower == old.lower:
        return None if new.whole and old.whole else "long"
    if not (new.whole and old.whole):
        return "long"
    if sorted(new.signature.numbers) != sorted(old.signature.numbers):
        return "numbers"
    if any(part not in old.lower for part in new.exact) or any(part not in new.lower for part in old.exact):
        return "literals"
    if _turned_round(new, old):
        return "polarity"
    if new.times != old.times:
        return "time"
    if new.names.difference(old.stems) and old.names.difference(new.stems):
        return "names"
    if turned(new, old) or _turned_about(new, old):
        return "direction"
    return None


def _turned_round(new: Lexis, old: Lexis) -> bool:
    """Whether one says the opposite of the other.

    An odd number of flips does, unless both sides have a word of their own besides, which may be an opposite that no
    table knows ("not fat", "slender"): that is for the score to tell.
    """
    negations, opposites = flips(new, old)
    if not (negations + opposites) % 2:
        return False
    return bool(opposites) or not (new.content.keys() - old.content.keys() and old.content.keys() - new.content.keys())


def turned(new: Lexis, old: Lexis) -> bool:
    """Whether a relation stands the other way round: "from X to Y" against "from Y to X"."""
    other = {(left, word, right) for left, word, right in old.relations}
    for left, word, right in new.relations:
        if left and right and left != right and (right, word, left) in other and (left, word, right) not in other:
            return True
    return False


def _turned_about(new: Lexis, old: Lexis) -> bool:
    """Whether two words stand on the other sides of a word like "than"."""
    for word in _ABOUT:
        if word in new.words and word in old.words:
            here, there = new.words.index(word), old.words.index(word)
            left = set(new.stems[:here]) & set(old.stems[there:]) & new.content.keys()
            right = set(new.stems[here:]) & set(old.stems[:there]) & new.content.keys()
            if left - right and right - left:
                return True
    return False
