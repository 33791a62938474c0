from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from balancer.cli import main
from balancer.sources import unread_variables, variables


def said(*arguments: object, **environment: str) -> str:
    result = CliRunner().invoke(main, ["--check-config", *map(str, arguments)], env=environment)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.replace("│", " ").split())


def test_a_wrong_value_in_the_environment_is_told_by_the_variables_name() -> None:
    text = said(LLM_BALANCER_PORT="many")
    assert "Invalid value for LLM_BALANCER_PORT in the environment: 'many'" in text and "--port" not in text
    assert "(LLM_BALANCER_CACHE_SIZE in the environment)" in said(LLM_BALANCER_CACHE_SIZE="0")


def test_a_wrong_value_in_the_file_is_told_by_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("queue-timeout: soon\n")
    assert f"Invalid value for 'queue-timeout' in {path}: 'soon'" in said("--config", path)
    path.write_text("cache-threshold: 3\n")
    text = said("--config", path)
    assert text.endswith(f"cache-threshold: expected a cosine above 0, up to 1 ('cache-threshold' in {path})")
    path.write_text("port: [1, 2]\n")
    assert f"{path}: port: expected one value" in said("--config", path)


def test_a_wrong_flag_is_told_as_it_was_typed() -> None:
    assert "Invalid value for '--port'" in said("--port", "many", LLM_BALANCER_PORT="1")
    assert said("--cache-size", 0).endswith("turns the cache off")


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("LLM_BALANCER_ADMINPORT", ["LLM_BALANCER_ADMINPORT in the environment is no setting; did you mean"]),
        ("LLM_BALANCER_X", ["LLM_BALANCER_X in the environment is no setting"]),
        ("LLM_BALANCER_TOKEN", []),
        ("LLM_BALANCER_KEY", []),
        ("LLM_BALANCER_QUEUE_SIZE", []),
        ("LLM_BALANCER_STATUS_ADMIN", []),
        ("OTHER", []),
    ],
)
def test_variables_that_nobody_reads_are_told(name: str, remark: list[str]) -> None:
    found = unread_variables({name: "1"}, variables(main))
    assert len(found) == len(remark) and all(text.startswith(start) for text, start in zip(found, remark, strict=True))


def test_the_right_variable_is_suggested() -> None:
    (remark,) = unread_variables({"LLM_BALANCER_ADMINPORT": "1"}, variables(main))
    assert remark.endswith("did you mean LLM_BALANCER_ADMIN_PORT?")
