from __future__ import annotations

import click
from click.testing import CliRunner

from balancer.commands.headings import HeadedGroup, option


def test_options_stand_under_their_headings_in_their_order_and_commands_behind_them() -> None:
    @click.group(cls=HeadedGroup)
    @option("--one", help="First.")("A")
    @option("--two", help="Second.")("A")
    @option("--three", help="Third.")("B")
    @option("--four", hidden=True)("B")
    def main(**options: object) -> None:
        """What it is."""

    @main.command()
    def go() -> None:
        """Goes."""

    lines = [line.split() for line in CliRunner().invoke(main, ["--help"]).output.splitlines() if line.strip()]
    assert lines[2:] == [
        ["A:"], ["--one", "TEXT", "First."], ["--two", "TEXT", "Second."],
        ["B:"], ["--three", "TEXT", "Third."],
        ["Help:"], ["--help", "Show", "this", "message", "and", "exit."],
        ["Commands:"], ["go", "Goes."],
    ]  # fmt: skip
