"""What the operator says of models' names: aliases, shares, and what answers when a model cannot.

In the settings, under ``models``::

    gpt-x: llama-3                         # another name
    gpt-y: {v1: 90, v2: 10}                # shares; a name may be an arm of its own
    llama-3: {fallback: [mistral, small]}  # in this order, when llama-3 cannot answer
    gpt-z: {to: {v1: 1, v2: 1}, fallback: small}

A target is the name of a model, never another name with a target, so nothing goes round in a circle; a fallback's own
fallbacks are not followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from balancer.errors import ConfigError

RULES_MAX: Final = 1024
ARMS_MAX: Final = 16
FALLBACKS_MAX: Final = 8
NAME_MAX_CHARS: Final = 256
_PARTS: Final = frozenset({"to", "fallback"})


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Of one name."""

    arms: tuple[tuple[str, float], ...]
    """What it means, with weights; the name itself where it only has fallbacks."""
    fallback: tuple[str, ...] | None = None
    """``None``: those of the model that it means."""


@dataclass(frozen=True, slots=True)
class ModelRules:
    """All rules, by the name that a request gives."""

    by_name: Mapping[str, ModelRule] = field(default_factory=dict)

    def alias_of(self, name: str) -> str:
        """The one model that the name means; the name itself if that is none or several."""
        rule = self.by_name.get(name)
        return rule.arms[0][0] if rule is not None and len(rule.arms) == 1 else name

    def fallbacks(self, name: str, model: str) -> tuple[str, ...]:
        """Which models may answer in place of ``model`` a request that named ``name``, best first."""
        rule = self.by_name.get(name)
        if rule is None or rule.fallback is None:
            rule = self.by_name.get(model)
        return tuple(other for other in (rule.fallback or () if rule is not None else ()) if other != model)

    def meanings(self, name: str) -> tuple[str, ...]:
        """Every model that may answer a request for ``name``, its fallbacks last."""
        rule = self.by_name.get(name)
        arms = [model for model, _ in rule.arms] if rule is not None else [name]
        return tuple(dict.fromkeys([*arms, *(other for arm in arms for other in self.fallbacks(name, arm))]))


def parse_rules(given: Mapping[Any, Any], aliases: Iterable[str] = ()) -> ModelRules | None:
    """The rules of ``models``, and of each ``--alias NAME=MODEL``; ``None`` without any. Raises `ConfigError`."""
    rules = {_name(name, "models"): _rule(str(name), rule) for name, rule in given.items()}
    for text in aliases:
        name, equals, model = (part.strip() for part in text.partition("="))
        if not equals or not name or not model:
            raise ConfigError(f"alias: expected NAME=MODEL, not {text[:80]!r}")
        if name in rules:
            raise ConfigError(f"alias: {name!r} is said what it means twice")
        rules[_name(name, "alias")] = ModelRule(((_name(model, "alias"), 1.0),))
    if len(rules) > RULES_MAX:
        raise ConfigError(f"models: expected at most {RULES_MAX} names")
    _check_targets(rules)
    return ModelRules(rules) if rules else None


def _check_targets(rules: Mapping[str, ModelRule]) -> None:
    """A target that means something else would have to be looked up again, perhaps for ever."""
    moved = {name for name, rule in rules.items() if [model for model, _ in rule.arms] != [name]}
    for name, rule in rules.items():
        for target in (*(model for model, _ in rule.arms), *(rule.fallback or ())):
            if target in moved and target != name:
                raise ConfigError(f"models: {name}: {target!r} is no model but a name for others: name those")


def _rule(name: str, given: object) -> ModelRule:
    if isinstance(given, Mapping) and given and not any(_is_number(value) for value in given.values()):
        unknown = sorted(str(key) for key in given if key not in _PARTS)
        if unknown:
            raise ConfigError(f"models: {name}: there is no {unknown[0]!r}; known are fallback, to, or models' shares")
        arms = _arms(name, given["to"]) if "to" in given else ((name, 1.0),)
        return ModelRule(arms, _fallback(name, given["fallback"]) if "fallback" in given else None)
    return ModelRule(_arms(name, given))


def _arms(name: str, given: object) -> tuple[tuple[str, float], ...]:
    if isinstance(given, str):
        return ((_name(given, f"models: {name}"), 1.0),)
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"models: {name}: expected a model, or models with their shares such as {{v1: 90, v2: 10}}")
    if len(given) > ARMS_MAX:
        raise ConfigError(f"models: {name}: expected at most {ARMS_MAX} models")
    for model, weight in given.items():
        if not _is_number(weight) or not 0 <= weight < math.inf:
            raise ConfigError(f"models: {name}: {model}: expected a share of 0 or more, not {weight!r}")
    arms = tuple((_name(model, f"models: {name}"), float(weight)) for model, weight in given.items())
    if not sum(weight for _, weight in arms) > 0:
        raise ConfigError(f"models: {name}: no model has a share")
    return arms


def _fallback(name: str, given: object) -> tuple[str, ...]:
    """An empty list: none, whatever the model that it means has."""
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list | tuple) or len(named) > FALLBACKS_MAX:
        raise ConfigError(f"models: {name}: fallback: expected a model, or a list of at most {FALLBACKS_MAX}")
    return tuple(dict.fromkeys(_name(model, f"models: {name}: fallback") for model in named))


def _name(given: object, where: str) -> str:
    if not isinstance(given, str):
        raise ConfigError(f"{where}: expected a model's name, not {given!r}: put it in quotes")
    if not given.strip() or len(given) > NAME_MAX_CHARS or not given.isprintable():
        raise ConfigError(f"{where}: expected a model's name of at most {NAME_MAX_CHARS} printable characters")
    return given


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
