"""Where a setting came from: errors name the file or the variable, and variables that nobody reads are told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

import click
from click.core import ParameterSource

PREFIX: Final = "LLM_BALANCER_"
READ_ELSEWHERE: Final = frozenset({"LLM_BALANCER_TOKEN", "LLM_BALANCER_KEY"})
"""No options: the token is never on a command line, and the key is the client's."""


def origin(context: click.Context, name: str) -> str | None:
    """The variable, or the file and its key, that this option has its value from; ``None``: neither."""
    match context.get_parameter_source(name):
        case ParameterSource.ENVIRONMENT:
            return f"{variable(name)} in the environment"
        case ParameterSource.DEFAULT_MAP:
            return f"{option_name(name)!r} in {context.params.get('config')}"
        case _:
            return None


def with_origin(context: click.Context, text: str) -> str:
    """An error that begins with an option's name, and where that option came from."""
    name, colon, _ = text.partition(":")
    found = origin(context, name.replace("-", "_")) if colon else None
    return f"{text} ({found})" if found is not None else text


def name_origin(error: click.BadParameter) -> None:
    """Let click's error speak of what is wrong, not of a flag that nobody typed."""
    if error.ctx is not None and error.param is not None and error.param.name is not None:
        error.param_hint = origin(error.ctx, error.param.name) or error.param_hint


def variable(name: str) -> str:
    return PREFIX + name.upper()


def option_name(name: str) -> str:
    """How an operator writes a setting, of the name of its option or of its field in `balancer.config.Config`."""
    return name.removesuffix("_s").replace("_", "-")


def variables(command: click.Command, prefix: str = PREFIX) -> set[str]:
    """All that click reads for a command and those below it."""
    found = {prefix + parameter.name.upper() for parameter in command.params if parameter.name}
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            found |= variables(below, f"{prefix}{name.upper().replace('-', '_')}_")
    return found


def unread_variables(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A remark on each variable that looks like ours and is not: a typing error would pass in silence."""
    names = set(known) | READ_ELSEWHERE
    remarks = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            remarks.append(
                f"{name} in the environment is no setting" + (f"; did you mean {close[0]}?" if close else "")
            )
    return remarks
