from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from tests.balancer.commands.admin_port import AdminPort


def types(admin: AdminPort, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["backends", *arguments, "--admin", admin.address])


def test_adding_sends_what_was_written_and_says_how_long_it_holds(admin: AdminPort) -> None:
    admin.replies["/backends"] = {"backend": "gpu", "slots": 2, "kept": "until the end"}
    result = types(admin, "add", "http://127.0.0.1:9;slots=2;name=gpu")
    assert (result.exit_code, result.output) == (0, "gpu is added until the end\n")
    ((method, path, body),) = admin.asked
    assert (method, path) == ("POST", "/backends")
    assert json.loads(body) == {"upstream": "http://127.0.0.1:9;slots=2;name=gpu"}
    assert json.loads(types(admin, "add", "http://127.0.0.1:9", "--json").output) == admin.replies["/backends"]


def test_a_warning_of_the_daemon_is_shown(admin: AdminPort) -> None:
    admin.replies["/backends"] = {"backend": "gpu", "slots": 2, "kept": "until the end", "warning": "twice"}
    assert types(admin, "add", "http://127.0.0.1:9").output == "gpu is added until the end\nwarning: twice\n"


@pytest.mark.parametrize(("running", "said"), [(0, "is removed"), (3, "leaves when its 3 requests have ended")])
def test_removing_says_what_still_runs(admin: AdminPort, running: int, said: str) -> None:
    found = {"backend": "gpu", "running": running, "removed": not running, "kept": "until the end"}
    admin.replies |= {"/backends/127.0.0.1%3A9%2Fdeep": found, "/backends/gpu": found}
    assert said in types(admin, "remove", "127.0.0.1:9/deep").output
    assert admin.asked == [("DELETE", "/backends/127.0.0.1%3A9%2Fdeep", b"")]
    assert json.loads(types(admin, "remove", "gpu", "--json").output) == found


def test_the_list_is_the_table_of_the_status(admin: AdminPort) -> None:
    backend = {
        "name": "gpu",
        "state": "joining",
        "reason": "/v1/models answered 401",
        "address": "127.0.0.1:9",
        "in_flight": 0,
        "slots": 4,
        "beats": 0,
        "heard_ms_ago": None,
        "models": [],
    }
    admin.replies["/backends"] = {"backends": [backend]}
    head, line = types(admin, "list").output.splitlines()
    assert head.split()[:3] == ["BACKEND", "STATE", "REASON"]
    assert line.startswith("gpu      joining  /v1/models answered 401  127.0.0.1:9")
    assert json.loads(types(admin, "list", "--json").output) == {"backends": [backend]}
    assert admin.asked[0] == ("GET", "/backends", b"")


@pytest.mark.parametrize(
    "command", [["backends", "list"], ["backends", "add", "http://h:1"], ["backends", "remove", "gpu"]]
)
def test_without_a_daemon_that_is_said(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--admin", "127.0.0.1:9"])
    assert result.exit_code == 1 and "no daemon answers" in result.output
