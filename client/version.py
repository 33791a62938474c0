"""``--version`` of a program: told as the balancer tells its own, and looked up only when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def version_option(program: str) -> Callable[[F], F]:
    """The option ``--version``."""

    def tell(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            click.echo(f"{program}, version {installed_version()}")
            context.exit()

    return click.option(
        "--version", is_flag=True, expose_value=False, is_eager=True, callback=tell, help="Show the version and exit."
    )


def installed_version() -> str:
    """The installed version; ``unknown`` in a source tree that was not installed."""
    from importlib import metadata  # as slow to import as all of `click`

    try:
        return metadata.version("llm-balancer")
    except metadata.PackageNotFoundError:
        return "unknown"
