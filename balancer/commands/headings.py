"""Help under headings: sixty options in one run are read by nobody."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import click


class HeadedOption(click.Option):
    """An option that knows under which heading it stands."""

    def __init__(self, *arguments: Any, heading: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.heading = heading


Declared = Callable[[str], Callable[[Any], Any]]
"""An option that waits for its heading."""


def option(*names: str, **settings: Any) -> Declared:
    """As `click.option`."""
    return lambda heading: click.option(*names, cls=HeadedOption, heading=heading, **settings)


class HeadedGroup(click.Group):
    """Its help shows the options under their headings, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, parameters in groupby(self.get_params(ctx), lambda each: getattr(each, "heading", "Help")):
            records = [record for each in parameters if (record := each.get_help_record(ctx)) is not None]
            with formatter.section(heading):
                formatter.write_dl(records)
        self.format_commands(ctx, formatter)
