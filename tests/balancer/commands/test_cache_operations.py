from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from balancer.commands.cache_operations import BATCH_BYTES


class Admin(HTTPServer):
    """An admin port that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.answers: dict[str, Any] = {}
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Admin)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        server.asked.append((self.path, body))
        data = json.dumps(server.answers[self.path.partition("?")[0]]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def admin() -> Iterator[Admin]:
    server = Admin()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(admin: Admin, *arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(main, ["cache", *arguments, "--admin", f"127.0.0.1:{admin.server_port}"], **more)


def test_purge_sends_what_is_named(admin: Admin) -> None:
    admin.answers["/cache/purge"] = {"purged": 3}
    assert run(admin, "purge").output == "3 entries forgotten\n"
    found = run(admin, "purge", "--tenant", "a b", "--model", "m", "--prefix", "How?", "--entry", "5f", "--json")
    assert json.loads(found.output) == {"purged": 3}
    assert [path for path, _ in admin.asked] == [
        "/cache/purge",
        "/cache/purge?tenant=a+b&model=m&prefix=How%3F&entry=5f",
    ]


def test_forget_and_wrong(admin: Admin) -> None:
    admin.answers |= {"/cache/forget": {"forgotten": "m"}, "/cache/wrong/5f": {"entry": "5f", "forgotten": True}}
    assert "of m" in run(admin, "forget", "--model", "m").output
    assert run(admin, "forget").exit_code == 0
    assert run(admin, "wrong", "5f").output == "5f forgotten\n"
    assert [path for path, _ in admin.asked] == ["/cache/forget?model=m", "/cache/forget", "/cache/wrong/5f"]


def test_warm_sends_lines_as_they_are_in_batches_and_numbers_errors_by_the_file(admin: Admin, tmp_path: Path) -> None:
    admin.answers["/cache/warm"] = {"stored": 1, "errors": [{"line": 1, "message": "no"}]}
    line = b'{"prompt":"' + b"x" * (BATCH_BYTES // 2) + b'"}\n'
    file = tmp_path / "answers.jsonl"
    file.write_bytes(line * 3)
    found = run(admin, "warm", str(file))
    assert b"".join(body for _, body in admin.asked) == line * 3
    assert len(admin.asked) == 3
    assert found.exit_code == 1
    assert "3 answers stored, 3 errors" in found.output
    assert [f"line {number}: no" in found.output for number in (1, 2, 3)] == [True, True, True]


def test_warm_reads_standard_input(admin: Admin) -> None:
    admin.answers["/cache/warm"] = {"stored": 2, "errors": []}
    found = run(admin, "warm", "-", "--json", input=b"{}\n{}")
    assert (found.exit_code, json.loads(found.output)) == (0, {"stored": 2, "errors": []})
    assert admin.asked == [("/cache/warm", b"{}\n{}")]
