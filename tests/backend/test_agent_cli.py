from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from backend.agent_cli import main

URL = ("--engine-url", "http://127.0.0.1:9")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def test_help_has_examples_and_every_option() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for word in (
        "Examples:", "--engine-url", "--model", "--endpoint", "--slots", "--poll-interval", "--key-env", "--upstream",
        "--balancer", "--token-file", "--advertise-url", "--name", "--weight", "--label", "--drain-timeout",
        "--log-json", "--version",
    ):  # fmt: skip
        assert word in result.output


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--engine-url"),
        (["--engine-url", "gpu:8000"], "http://HOST:PORT"),
        ([*URL, "--advertise-url", "gpu"], "http://HOST:PORT"),
        ([*URL, "--slots", "0"], "--slots"),
        ([*URL, "--endpoint", "images"], "images"),
        ([*URL, "--poll-interval", "0.01"], "--poll-interval"),
        ([*URL, "--key-env", "LLM_NO_SUCH_KEY"], "LLM_NO_SUCH_KEY"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments: list[str], word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.output


def test_a_key_with_a_line_break_inside_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_KEY", "sk-1\r\nx: y")
    result = run(*URL, "--key-env", "ENGINE_KEY")
    assert result.exit_code == 2
    assert "sk-1" not in result.output
