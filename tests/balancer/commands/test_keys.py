from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from balancer.keyfile import read_keys


def types(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], env=environment)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_a_new_key_is_all_that_goes_to_standard_output(path: Path) -> None:
    result = types("key", "add", "alice", "--keys", path, "--weight", 3)
    assert result.exit_code == 0, result.output
    found = read_keys(path).find(result.stdout.rstrip("\n").encode())
    assert found is not None and (found.name, found.weight) == ("alice", 3.0)
    assert "shown once" in result.stderr


def test_the_list_shows_who_has_a_key_but_no_key(path: Path) -> None:
    keys = [types("key", "add", name, "--keys", path).stdout.strip() for name in ("bob", "alice")]
    said = types("key", "list", "--keys", path).stdout
    assert [line.split()[0] for line in said.splitlines()] == ["alice", "bob"]
    assert not any(key in said for key in keys)
    shown = json.loads(types("key", "list", "--keys", path, "--json").stdout)
    assert [(entry["name"], entry["weight"]) for entry in shown] == [("alice", 1), ("bob", 1)]


def test_an_empty_file_lists_nobody(path: Path) -> None:
    path.touch()
    result = types("key", "list", "--keys", path)
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_removed_key_is_gone(path: Path) -> None:
    types("key", "add", "alice", "--keys", path)
    assert types("key", "remove", "alice", "--keys", path).exit_code == 0
    assert len(read_keys(path)) == 0
    again = types("key", "remove", "alice", "--keys", path)
    assert again.exit_code == 1 and "there is no 'alice'" in again.output


def test_the_file_may_be_named_where_the_daemon_s_is(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "balancer.yaml"
    config.write_text(f"keys: {path}\n")
    assert types("key", "add", "a", LLM_BALANCER_KEYS=str(path)).exit_code == 0
    assert types("--keys", path, "key", "add", "b").exit_code == 0
    assert types("--config", config, "key", "add", "c").exit_code == 0
    assert [key.name for key in read_keys(path)] == ["a", "b", "c"]
    nowhere = types("key", "add", "alice")
    assert nowhere.exit_code == 2 and "--keys FILE" in nowhere.output


@pytest.mark.parametrize(
    "arguments", [("alice",), ("local",), ("a b",), ("bob", "--weight", 0), ("bob", "--weight", "nan")]
)
def test_what_cannot_be_added_is_told_in_one_line(path: Path, arguments: tuple[object, ...]) -> None:
    types("key", "add", "alice", "--keys", path)
    result = types("key", "add", "--keys", path, *arguments)
    assert result.exit_code == 1 and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert [key.name for key in read_keys(path)] == ["alice"]
