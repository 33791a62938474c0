"""Pairs of our own making from real questions: one word changed, and they mean another thing; or only their form is."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final, NamedTuple

from balancer.cache.antonyms import ANTONYMS


class Made(NamedTuple):
    """Two texts, 1 where they mean the same, and how they were made."""

    a: str
    b: str
    duplicate: int
    kind: str


_EXTRA_OPPOSITES: Final = {
    "men": "women", "husband": "wife", "days": "weeks", "months": "years", "hours": "days", "kg": "pounds",
    "km": "miles", "dogs": "cats", "android": "iphone", "Windows": "Linux", "Java": "Python", "India": "China",
    "engineering": "medical", "with": "without", "before": "during",
}  # fmt: skip
_AUXILIARY: Final = "is|are|was|were|can|could|should|would|will|do|does|did"
_SUBJECT: Final = re.compile(rf"\b({_AUXILIARY})\s+(I|you|we|they|he|she|it|one|people|there|someone)\b", re.I)
_NOT: Final = re.compile(r"\s*\bnot\b|n't\b")
_BETWEEN: Final = re.compile(
    r"\b([\w#+]+) (into|over|instead of|rather than|than|before|after|without|beats?) ([\w#+]+)\b"
)
_FROM_TO: Final = re.compile(r"\bfrom (\w+) to (\w+)\b")
_POOR_ENDS: Final = frozenset(
    ("the", "a", "an", "be", "go", "is", "it", "i", "you", "how", "get", "not", "want", "have", "do")
)
_SHARES: Final = {"number": 0.9, "entity": 0.28, "polarity": 0.22, "antonym": 0.35, "order": 0.9}
_NAME_SEEN_MIN: Final = 4
_TRIES: Final = 30

_GREETINGS: Final = (
    "Please tell me: ",
    "Hi, ",
    "Can you tell me ",
    "Quick question: ",
    "Hello! ",
    "Tell me, ",
    "Hey, ",
)
_ENDINGS: Final = (" Thanks!", " Please.", " Thank you", " Please explain.", " pls")
_REWORDINGS: Final = (
    ("What is", "What's"), ("What's", "What is"), ("How do I", "How can I"), ("How can I", "How do I"),
    ("How do you", "How do I"), ("do not", "don't"), ("don't", "do not"), ("Can I", "Is it possible to"),
    ("What are the", "Which are the"), ("How to", "How do I"), ("How do I", "How to"), ("What are some", "What are"),
    ("What is the best", "Which is the best"), (" and ", " & "), ("cannot", "can't"),
)  # fmt: skip


def names_of(text: str) -> list[str]:
    """Words with a capital that does not begin a sentence."""
    words = text.split()
    found = []
    for before, raw in pairwise(words):
        word = raw.strip("?.,!\"'()[]:;")
        if word[:1].isupper() and len(word) > 1 and word not in ("I'm", "I've") and before[-1] not in ".?!:":
            found.append(word)
    return found


def name_pool(texts: Iterable[str]) -> list[str]:
    """The names that stand in several texts."""
    seen = Counter(name for text in texts for name in set(names_of(text)))
    return sorted(name for name, count in seen.items() if count >= _NAME_SEEN_MIN and name.isalpha())


def negatives(rows: Iterable[tuple[str, str, int]], names: list[str], rng: random.Random) -> list[Made]:
    """For each labelled pair perhaps some texts that differ from one of it in one number, name, and so on."""
    makers: dict[str, Callable[[str], str | None]] = {
        "number": lambda text: _other_number(text, rng),
        "entity": lambda text: _other_name(text, names, rng),
        "polarity": lambda text: _negated(text, rng),
        "antonym": lambda text: _opposite(text, rng),
        "order": lambda text: _turned(text),
    }
    found = []
    for a, b, duplicate in rows:
        for kind, make in makers.items():
            base, other = (b, a) if duplicate and rng.random() < 0.5 else (a, a)
            if rng.random() > _SHARES[kind]:
                continue
            changed = make(base)
            if changed is not None and changed != base:
                found.append(Made(*((other, changed) if rng.random() < 0.5 else (changed, other)), 0, kind))
    return found


def same_in_other_form(texts: Iterable[str], rng: random.Random) -> list[Made]:
    """Each text with itself in lower case, with a greeting, a slip of the finger, a contraction."""
    found = []
    for text in texts:
        other = in_other_form(text, rng)
        if other is not None and other != text:
            found.append(Made(*((text, other) if rng.random() < 0.5 else (other, text)), 1, "form"))
    return found


def in_other_form(text: str, rng: random.Random) -> str | None:
    """The text in another form that means the same, or ``None`` where the one drawn does not fit it."""
    forms: tuple[Callable[[], str | None], ...] = (
        text.lower,
        lambda: text.rstrip("?.! "),
        lambda: rng.choice(_GREETINGS) + text[0].lower() + text[1:],
        lambda: _slip(text, rng),
        lambda: text + rng.choice(_ENDINGS),
        lambda: next((text.replace(x, y, 1) for x, y in rng.sample(_REWORDINGS, len(_REWORDINGS)) if x in text), None),
        lambda: text.lower().rstrip("?.! "),
    )
    return rng.choice(forms)() if text else None


def _slip(text: str, rng: random.Random) -> str | None:
    words = list(re.finditer(r"[a-z]{5,}", text))
    if not words:
        return None
    found = rng.choice(words)
    word = found.group()
    at, draw = rng.randrange(1, len(word) - 2), rng.random()
    slipped = word[:at] + word[at + 1] + word[at] + word[at + 2 :] if draw < 0.5 else word[:at] + word[at + 1 :]
    return text[: found.start()] + slipped + text[found.end() :]


def _other_number(text: str, rng: random.Random) -> str | None:
    found = list(re.finditer(r"\d+", text))
    if not found:
        return None
    one = rng.choice(found)
    value = int(one.group())
    if len(one.group()) == 4 and 1900 <= value <= 2100:
        other = value + rng.choice([-10, -5, -3, -2, -1, 1, 2, 3, 5, 10])
    elif value < 20:
        other = rng.choice([number for number in range(1, 26) if number != value])
    else:
        other = rng.choice([value + 1, value - 1, value * 2, value * 10, value // 2, value + 10])
    return text[: one.start()] + str(other) + text[one.end() :]


def _other_name(text: str, names: list[str], rng: random.Random) -> str | None:
    here = names_of(text)
    if not here or not names:
        return None
    one = rng.choice(here)
    for other in (rng.choice(names) for _ in range(_TRIES)):
        if other.lower() != one.lower() and other.isupper() == one.isupper():
            return re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", other, text)
    return None


def _negated(text: str, rng: random.Random) -> str | None:
    if _NOT.search(text):
        for word, put in (("can't", "can"), ("won't", "will")):
            if word in text:
                return text.replace(word, put, 1)
        return _NOT.sub("", text, count=1)
    subject = _SUBJECT.search(text)
    if subject:
        if rng.random() < 0.5:
            return text[: subject.end()] + " not" + text[subject.end() :]
        verb = subject.group(1)
        short = {"can": "can't", "will": "won't"}.get(verb.lower(), verb.lower() + "n't")
        return text[: subject.start()] + (short.capitalize() if verb[0].isupper() else short) + text[subject.end(1) :]
    verb_at = re.search(rf"\b(?:{_AUXILIARY})\b(?=\s+\w+)", text)
    if verb_at and re.match(r"(what|why|who|which|how|when|where)\b", text, re.I):
        return text[: verb_at.end()] + " not" + text[verb_at.end() :]
    infinitive = re.search(r"\bto (?=\w+)", text)
    if infinitive and rng.random() < 0.5:
        return text[: infinitive.start()] + "not " + text[infinitive.start() :]
    return re.sub(r"\bwith\b", "without", text, count=1) if re.search(r"\bwith\b", text) else None


def _opposite(text: str, rng: random.Random) -> str | None:
    words = [found for found in re.finditer(r"[A-Za-z]+", text) if _opposites(found.group())]
    if not words:
        return None
    found = rng.choice(words)
    return text[: found.start()] + rng.choice(_opposites(found.group())) + text[found.end() :]


def _opposites(word: str) -> list[str]:
    return sorted(ANTONYMS.get(word, ())) + ([_EXTRA_OPPOSITES[word]] if word in _EXTRA_OPPOSITES else [])


def _turned(text: str) -> str | None:
    found = _FROM_TO.search(text)
    if found and found.group(1) != found.group(2):
        return f"{text[: found.start()]}from {found.group(2)} to {found.group(1)}{text[found.end() :]}"
    found = _BETWEEN.search(text)
    if found and found.group(1) != found.group(3) and not {found.group(1).lower(), found.group(3).lower()} & _POOR_ENDS:
        return f"{text[: found.start()]}{found.group(3)} {found.group(2)} {found.group(1)}{text[found.end() :]}"
    return None
