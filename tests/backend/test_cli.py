from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from backend.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def test_help_has_examples_and_every_option() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    for option in (
        "PORT (1235;", "--host", "--model", "--slots", "--device", "--threads", "--echo-delay-ms", "--no-balancer",
        "--balancer", "--token-file", "--advertise-url", "--name", "--weight", "--label", "--drain-timeout",
        "--log-json", "--version",
    ):  # fmt: skip
        assert option in result.output


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["70000"], "70000"),
        (["1", "--slots", "0"], "--slots"),
        (["1", "--balancer", "h:1", "--no-balancer"], "exclude"),
        (["1", "--device", "tpu"], "tpu"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments: list[str], word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.output


@pytest.mark.usefixtures("own_logging")
def test_an_address_that_can_not_be_listened_on_is_told() -> None:
    result = run("0", "--model", "echo", "--no-balancer", "--host", "192.0.2.1")
    assert result.exit_code == 1
    assert "can't listen on 192.0.2.1:0" in result.output
