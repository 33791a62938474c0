"""Templates: text with choices in it, how it is expanded and how many different texts it holds.

`[a|b|c]` is one of three texts (not nested), `{slot}` the value of a slot or one text of the rule of that name,
`{a slot}` the same with the fitting article before it, `{Slot}` with a capital. A sentence's first letter is raised.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]|\{([^{}]+)\}")
_SENTENCE_START = re.compile(r'(?:^|(?<=[.!?] ))["]?[a-z]')
_AN = re.compile(r"(?:[aei]|o(?!ne)|u(?!ni|se|til|kul))", re.IGNORECASE)

Rules = Mapping[str, Sequence[str]]


def with_article(noun: str) -> str:
    """`noun` with "a" or "an" before it, by its first sound as far as spelling tells."""
    return f"{'an' if _AN.match(noun) or noun.startswith('hour') else 'a'} {noun}"


def sentence_case(text: str) -> str:
    """Raise the first letter of each sentence; what follows a closing quotation mark stays as it is."""
    return _SENTENCE_START.sub(lambda found: found.group().upper(), text)


def expand(template: str, slots: Mapping[str, str], rules: Rules, rng: random.Random) -> str:
    """One text of `template`, its sentences beginning with capitals. An unknown slot is a KeyError."""
    return sentence_case(_fill(template, slots, rules, rng))


def _fill(template: str, slots: Mapping[str, str], rules: Rules, rng: random.Random) -> str:
    def fill(found: re.Match[str]) -> str:
        choices, key = found.groups()
        if choices is not None:
            return _fill(rng.choice(choices.split("|")), slots, rules, rng)
        article, _, name = key.rpartition(" ")
        value = _value(name, slots, rules, rng)
        return with_article(value) if article else value

    return _CHOICE.sub(fill, template)


def _value(name: str, slots: Mapping[str, str], rules: Rules, rng: random.Random) -> str:
    if name in slots:
        return slots[name]
    if name in rules:
        return _fill(rng.choice(rules[name]), slots, rules, rng)
    lower = name[0].lower() + name[1:]
    if lower == name:
        raise KeyError(name)
    value = _value(lower, slots, rules, rng)
    return value[:1].upper() + value[1:]


def count(template: str, rules: Rules) -> int:
    """How many texts `template` holds while its slots keep their values."""
    total = 1
    for found in _CHOICE.finditer(template):
        choices, key = found.groups()
        if choices is not None:
            total *= sum(count(choice, rules) for choice in choices.split("|"))
        else:
            name = key.rpartition(" ")[2]
            total *= count_any(rules.get(name) or rules.get(name[0].lower() + name[1:]) or ("",), rules)
    return total


def count_any(templates: Sequence[str], rules: Rules) -> int:
    """How many texts stand to choose from when one of `templates` is taken."""
    return sum(count(template, rules) for template in templates)
