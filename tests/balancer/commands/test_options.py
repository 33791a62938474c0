from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from balancer.commands.options import OPTIONS
from balancer.config import CHECK_SHARE_MAX, Config
from balancer.routing.policies import POLICIES

PAGE = Path(__file__).resolve().parents[3] / "docs/options.md"


def checked(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--check-config"], env=environment)


def helped(heading: str) -> str:
    """What the help says under a heading, in one line."""
    said = CliRunner().invoke(main, ["--help"], terminal_width=100).output
    return " ".join(said.partition(f"\n{heading}:\n")[2].partition("\n\n")[0].split())


def test_every_setting_has_an_option() -> None:
    options = {parameter.name for parameter in main.params}
    made = {"models", "alias", "round_robin", "least_connections", "tls_cert", "tls_key", "token_file", "config"}
    settings = {field.name.removesuffix("_s") for field in fields(Config)} - {"tls", "token"}
    assert settings - made == options - made - {"check_config", "version"}


def test_headings_are_those_of_the_page() -> None:
    assert set(OPTIONS) < set(re.findall("^### (.+)$", PAGE.read_text(), re.MULTILINE))


def test_the_help_names_every_policy_the_bound_of_checks_and_sizes_as_people_do() -> None:
    routing, cache, waiting = (helped(each) for each in ("Where a request goes", "The cache", "Waiting and ending"))
    named = routing.partition("How a backend is chosen: ")[2].partition(". [default")[0]
    assert set(re.split(", | or ", named)) == set(POLICIES)
    assert f"(up to {CHECK_SHARE_MAX})" in cache and "[default: 256 MiB]" in cache
    assert "[default: 64 MiB]" in waiting and "x>=0" not in waiting


def test_a_size_in_the_file_is_written_either_way(tmp_path: Path) -> None:
    for text in ("cache-bytes: 1048576", "cache-bytes: 1 MiB"):
        (tmp_path / "b.yaml").write_text(text)
        assert checked("--config", str(tmp_path / "b.yaml")).exit_code == 0
    found = checked("--cache-bytes", "a lot")
    assert found.exit_code == 2 and "--cache-bytes" in found.output and "64 MiB" in found.output


def test_the_file_takes_a_mapping_and_the_others_json(tmp_path: Path) -> None:
    file = tmp_path / "balancer.yaml"
    file.write_text("models:\n  gpt-x: {v1: 90, v2: 10}\n  v1: {fallback: small}\nprefer: zone=a\nalias: [a=b]\n")
    for found in (
        checked("--config", str(file)),
        checked("--models", '{"gpt-x": "m"}', "--alias", "a=b", "--prefer", "zone=a", "--explain"),
        checked(LLM_BALANCER_MODELS='{"gpt-x": "m"}'),
    ):
        assert found.exit_code == 0, found.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [a]", "models"),
        ("models: {a: {to: b, x: c}}", "'models' in"),
        ("models: {a: b, b: c}", "'b' is no model"),
        ("alias: [a]", "expected NAME=MODEL"),
        ("prefer: [zone]", "expected KEY=VALUE"),
        ("policy: {a: b}", "expected one value"),
    ],
)
def test_a_wrong_one_is_told_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "balancer.yaml"
    file.write_text(text)
    found = checked("--config", str(file))
    assert found.exit_code == 2 and said in found.output and str(file) in found.output.replace("\n", "")
