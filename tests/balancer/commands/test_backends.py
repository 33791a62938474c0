from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from balancer.commands import admin_client


class Daemon:
    """The admin port's side of the conversation."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answer: dict[str, Any] = {}

    def ask(self, admin: str, method: str, path: str, body: Any = None, *, timeout_s: float = 5.0) -> Any:
        self.asked.append((method, path, body))
        return self.answer


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    found = Daemon()
    monkeypatch.setattr(admin_client, "ask", found.ask)
    return found


def types(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_adding_sends_what_was_written_and_says_how_long_it_holds(daemon: Daemon) -> None:
    daemon.answer = {"backend": "gpu", "slots": 2, "kept": "until the end"}
    result = types("backends", "add", "http://127.0.0.1:9;slots=2;name=gpu")
    assert (result.exit_code, result.output) == (0, "gpu is added until the end\n")
    assert daemon.asked == [("POST", "/backends", {"upstream": "http://127.0.0.1:9;slots=2;name=gpu"})]
    assert json.loads(types("backends", "add", "http://127.0.0.1:9", "--json").output) == daemon.answer


def test_a_warning_of_the_daemon_is_shown(daemon: Daemon) -> None:
    daemon.answer = {"backend": "gpu", "slots": 2, "kept": "until the end", "warning": "twice"}
    assert types("backends", "add", "http://127.0.0.1:9").output == "gpu is added until the end\nwarning: twice\n"


@pytest.mark.parametrize(("running", "said"), [(0, "is removed"), (3, "leaves when its 3 requests have ended")])
def test_removing_says_what_still_runs(daemon: Daemon, running: int, said: str) -> None:
    daemon.answer = {"backend": "gpu", "running": running, "removed": not running, "kept": "until the end"}
    assert said in types("backends", "remove", "127.0.0.1:9/deep").output
    assert daemon.asked == [("DELETE", "/backends/127.0.0.1%3A9%2Fdeep", None)]
    assert json.loads(types("backends", "remove", "gpu", "--json").output) == daemon.answer


@pytest.mark.parametrize("command", [["backends", "add", "http://h:1"], ["backends", "remove", "gpu"]])
def test_without_a_daemon_that_is_said(command: list[str]) -> None:
    result = types(*command, "--admin", "127.0.0.1:9")
    assert result.exit_code == 1 and "no daemon answers" in result.output
