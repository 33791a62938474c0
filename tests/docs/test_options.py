"""docs/options.md tells every option that a program takes, no other, and defaults as they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from backend.agent_cli import main as agent
from backend.cli import main as backend
from balancer.cli import main as balancer
from client.cli import main as chat
from frontend.cli import main as frontend

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/options.md"
PROGRAMS: Final[dict[str, click.Command]] = {
    "llm-balancer": balancer,
    "llm-backend": backend,
    "llm-backend agent": agent,
    "llm-client": chat,
    "llm-frontend": frontend,
}
COMMANDS: Final = "Commands of llm-balancer"
OPTION: Final = re.compile(r"`(--?[a-z][a-z-]*)")
NAME: Final = re.compile(r"`([^`]+)`")


def rows(program: str) -> Iterator[list[str]]:
    """The cells of each row of a program's tables, or of the commands' one."""
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## ") or line == f"### {COMMANDS}":
            section = line.lstrip("# ")
        elif section == program and line.startswith("| `-"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def options(command: click.Command) -> Iterator[click.Option]:
    return (p for p in command.params if isinstance(p, click.Option) and not p.hidden)


def spelled(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below this one by its name, such as ``cache purge``."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from leaves(inner, f"{name} {word}".strip())


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_a_program_stands_there_and_no_other(program: str) -> None:
    told = Counter(option for cells in rows(program) for option in OPTION.findall(cells[0]))
    takes = Counter(name for option in options(PROGRAMS[program]) for name in spelled(option))
    assert (takes - told, told - takes) == (Counter(), Counter()), "not told, told for nothing"


def test_every_option_of_a_command_stands_there_and_no_other() -> None:
    told = Counter(
        f"{of} {option}"
        for cells in rows(COMMANDS)
        for of in NAME.findall(cells[1])
        for option in OPTION.findall(cells[0])
    )
    takes = Counter(
        f"{of} {name}" for of, command in leaves(balancer) for option in options(command) for name in spelled(option)
    )
    assert (takes - told, told - takes) == (Counter(), Counter()), "not told, told for nothing"


@pytest.mark.parametrize("program", PROGRAMS)
def test_defaults_are_as_they_are(program: str) -> None:
    """Of numbers and texts; where there is none to compare, the table says in words what happens."""
    told = {option: cells[1].strip("`") for cells in rows(program) for option in OPTION.findall(cells[0])}
    for option in options(PROGRAMS[program]):
        if isinstance(option.default, bool) or not isinstance(option.default, int | float | str) or not option.default:
            continue
        said = told[spelled(option)[0]].replace(",", "")
        assert option.type.convert(said, option, None) == option.type.convert(option.default, option, None), option.name
