from __future__ import annotations

from importlib import metadata

import click
import pytest
from click.testing import CliRunner

from client.version import installed_version, version_option


@click.command
@click.argument("needed")
@version_option("llm-program")
def program(needed: str) -> None:
    click.echo(needed)


def test_the_version_is_told_whatever_else_is_missing():
    told = CliRunner().invoke(program, ["--version"])
    assert (told.exit_code, told.output) == (0, f"llm-program, version {installed_version()}\n")


def test_without_it_nothing_is_told():
    assert CliRunner().invoke(program, ["given"]).output == "given\n"


def test_a_tree_that_was_not_installed_has_none(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert installed_version() == "unknown"
