from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balancer.admission.aliases import ModelRule
from balancer.cli import main
from balancer.commands.model_options import read_model_options


def checked(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--check-config"], env=environment)


def test_what_they_say_is_put_in_place_of_what_was_given() -> None:
    options = {"models": {"a": "b"}, "alias": ("c=d",), "prefer": ("zone=a", "zone=a"), "explain": True}
    read_model_options(options)
    models = options.pop("models")
    assert options == {"prefer": (("zone", "a"),), "explain": True}
    assert getattr(models, "by_name", None) == {"a": ModelRule((("b", 1.0),)), "c": ModelRule((("d", 1.0),))}


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


@pytest.mark.parametrize("text", ["gpt-x=m", "[1]", "{", '"a"', "{" * 100_000])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    found = checked("--models", text)
    assert found.exit_code == 2 and "expected a mapping" in found.output
