from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from balancer.cli import main
from balancer.commands.cache_operations import BATCH_BYTES
from tests.balancer.commands.admin_port import AdminPort


def run(admin: AdminPort, *arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(main, ["cache", *arguments, "--admin", admin.address], **more)


def test_purge_sends_what_is_named(admin: AdminPort) -> None:
    admin.replies["/cache/purge"] = {"purged": 3}
    assert run(admin, "purge").output == "3 entries forgotten\n"
    found = run(admin, "purge", "--tenant", "a b", "--model", "m", "--prefix", "How?", "--entry", "5f", "--json")
    assert json.loads(found.output) == {"purged": 3}
    assert [path for _, path, _ in admin.asked] == [
        "/cache/purge",
        "/cache/purge?tenant=a+b&model=m&prefix=How%3F&entry=5f",
    ]


def test_purge_is_a_command_of_its_own_too(admin: AdminPort) -> None:
    admin.replies["/cache/purge"] = {"purged": 1}
    found = CliRunner().invoke(main, ["purge", "--prefix", "How", "--admin", admin.address])
    assert found.output == "1 entries forgotten\n"
    assert [path for _, path, _ in admin.asked] == ["/cache/purge?prefix=How"]


def test_forget_and_wrong(admin: AdminPort) -> None:
    admin.replies |= {"/cache/forget": {"forgotten": "m"}, "/cache/wrong/5f": {"entry": "5f", "forgotten": True}}
    assert "of m" in run(admin, "forget", "--model", "m").output
    assert run(admin, "forget").exit_code == 0
    assert run(admin, "wrong", "5f").output == "5f forgotten\n"
    assert [path for _, path, _ in admin.asked] == ["/cache/forget?model=m", "/cache/forget", "/cache/wrong/5f"]


def test_warm_sends_lines_as_they_are_in_batches_and_numbers_errors_by_the_file(
    admin: AdminPort, tmp_path: Path
) -> None:
    admin.replies["/cache/warm"] = {"stored": 1, "errors": [{"line": 1, "message": "no"}]}
    line = b'{"prompt":"' + b"x" * (BATCH_BYTES // 2) + b'"}\n'
    file = tmp_path / "answers.jsonl"
    file.write_bytes(line * 3)
    found = run(admin, "warm", str(file))
    assert b"".join(body for *_, body in admin.asked) == line * 3
    assert len(admin.asked) == 3
    assert found.exit_code == 1
    assert "3 answers stored, 3 errors" in found.output
    assert [f"line {number}: no" in found.output for number in (1, 2, 3)] == [True, True, True]


def test_warm_reads_standard_input(admin: AdminPort) -> None:
    admin.replies["/cache/warm"] = {"stored": 2, "errors": []}
    found = run(admin, "warm", "-", "--json", input=b"{}\n{}")
    assert (found.exit_code, json.loads(found.output)) == (0, {"stored": 2, "errors": []})
    assert admin.asked == [("POST", "/cache/warm", b"{}\n{}")]
