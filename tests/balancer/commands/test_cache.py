from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from balancer.cli import main


def test_the_group_is_reached_from_the_command_line() -> None:
    found = CliRunner().invoke(main, ["cache", "--help"])
    assert found.exit_code == 0 and "explain" in found.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cache", "explain", "one"], "Missing argument 'B'"),
        (["cache", "explain", "one", " "], "blank"),
        (["cache", "explain", "one", "two", "--wrong-share", "2"], "--wrong-share"),
    ],
)
def test_what_cannot_be_explained_is_said(arguments: list[str], said: str) -> None:
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2 and said in found.output


def test_a_model_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    found = CliRunner().invoke(main, ["--cache-model", str(tmp_path / "none"), "cache", "explain", "one", "two"])
    assert found.exit_code == 1 and "no embedding model: no folder" in found.output


@pytest.mark.torch
def test_explain_decides_as_the_shipped_verdict_does() -> None:
    pytest.importorskip("sentence_transformers")
    near = ["How can I reset my password?", "How do I reset my password?"]
    found = CliRunner().invoke(main, ["cache", "explain", *near, "--json"])
    assert found.exit_code == 0 and json.loads(found.stdout)["serve"]
    found = CliRunner().invoke(main, ["cache", "explain", *near, "--wrong-share", "0.001"])
    assert found.exit_code == 0 and found.stdout.startswith("would not be answered")
