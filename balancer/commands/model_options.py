"""The options that say which models may answer, whom to ask first, and who may know why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click


class Structured(click.ParamType[dict[str, Any]]):
    """A mapping, as it stands in the file or as JSON; what it may hold is checked by whoever reads it."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Fails with words that do not repeat what was given."""
        if isinstance(value, dict):
            return value
        try:
            found = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.fail('expected a mapping: JSON such as {"gpt-x": "llama-3"}, or YAML in the file', param, ctx)
        return found


_OPTIONS = (
    click.option("--alias", multiple=True, metavar="NAME=MODEL", help="Another name for a model."),
    click.option(
        "--models",
        type=Structured(),
        metavar="JSON",
        default=None,
        help="Aliases, shares and fallbacks; in the file as YAML: docs/routing.md.",
    ),
    click.option(
        "--prefer", multiple=True, metavar="KEY=VALUE", help="Backends with this label first, others if full."
    ),
    click.option("--hedge", is_flag=True, help="Ask a second backend when a first token is later than 95 of 100 were."),
    click.option(
        "--explain", is_flag=True, help="Anybody may ask why a request went where it went, not only this host."
    ),
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_model_options(options: dict[str, Any]) -> None:
    """Puts what they say in place of what was given, as `balancer.config.Config` takes it. Raises `ConfigError`."""
    from balancer.admission.aliases import parse_rules
    from balancer.config import parse_labels

    options["models"] = parse_rules(options["models"] or {}, options.pop("alias"))
    options["prefer"] = parse_labels(options["prefer"], "prefer")
