from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from backend.options import TOKEN_VARIABLE, member_options

FOUND: dict[str, Any] = {}


@click.command
@click.option("--own", is_flag=True, help="The program's own.")
@member_options(name_default="HOST:PORT", drain="Until it ends.")
def program(own: bool, **found: Any) -> None:
    FOUND.clear()
    FOUND.update(found)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(program, [*arguments], env={TOKEN_VARIABLE: None, **environment})


def read(*arguments: str, **environment: str) -> dict[str, Any]:
    """What the program is given."""
    result = run(*arguments, **environment)
    assert result.exit_code == 0, result.output
    return FOUND


def test_without_any_there_are_defaults() -> None:
    assert read() == {
        "balancers": (), "token": b"", "advertise_url": None, "name": None, "weight": 1.0, "labels": {},
        "drain_timeout": 30.0, "log_json": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("lb-1", ("lb-1", 1234)),
        ("lb-1:99", ("lb-1", 99)),
        ("::1", ("::1", 1234)),
        ("[::1]", ("::1", 1234)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    assert read("--balancer", text)["balancers"] == (address,)


def test_what_may_be_repeated_is_kept_in_order() -> None:
    found = read(
        "--balancer", "a:1", "--balancer", "b:2", "--label", "zone=a", "--label", "gpu=h100=80", "--label", "x="
    )
    assert found["balancers"] == (("a", 1), ("b", 2))
    assert found["labels"] == {"zone": "a", "gpu": "h100=80", "x": ""}


def test_the_token_of_a_file_wins_over_that_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" s3cret\n")
    assert read(**{TOKEN_VARIABLE: "other\n"})["token"] == b"other"
    assert read("--token-file", str(tmp_path / "token"), **{TOKEN_VARIABLE: "other"})["token"] == b"s3cret"


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    result = run("--token-file", str(tmp_path / "token"))
    assert result.exit_code == 2
    assert "--token-file" in result.output and "empty" in result.output


def test_the_url_to_dial_is_told_without_the_path_of_the_api() -> None:
    assert read("--advertise-url", "https://gpu:8000/engine/v1/")["advertise_url"] == "https://gpu:8000/engine"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--balancer", "host:port"], "HOST:PORT"),
        (["--balancer", "host:0"], "HOST:PORT"),
        (["--balancer", ""], "HOST:PORT"),
        (["--label", "novalue"], "KEY=VALUE"),
        (["--label", "=value"], "KEY=VALUE"),
        (["--label", f"k={'x' * 65}"], "KEY=VALUE"),
        (["--name", "two words"], "letters"),
        (["--advertise-url", "gpu"], "http://HOST:PORT"),
        (["--weight", "0"], "--weight"),
        (["--token-file", "/no/such/file"], "does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments: list[str], word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.output


def test_the_version_is_told_as_the_balancer_tells_its_own() -> None:
    assert run("--version").output.startswith("llm-backend, version ")


def test_options_stand_in_help_behind_the_program_s_own() -> None:
    text = run("--help").output
    places = [text.index(f"--{name} ") for name in ("own", "balancer", "token-file", "name", "log-json", "version")]
    assert places == sorted(places)
    assert "[default: HOST:PORT]" in text and "Until it ends." in text
