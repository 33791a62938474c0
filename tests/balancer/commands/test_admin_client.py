from __future__ import annotations

import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from balancer.cli import main
from balancer.commands import admin_client
from balancer.commands.admin_client import ask, table
from tests.balancer.commands.admin_port import AdminPort


def test_an_answer_is_decoded(admin: AdminPort) -> None:
    admin.replies["/cache/purge"] = {"purged": 3}
    assert ask(admin.address, "POST", "/cache/purge?tenant=a") == {"purged": 3}
    assert admin.asked == [("POST", "/cache/purge?tenant=a", b"")]


def test_a_refusal_is_told_in_the_daemons_words(admin: AdminPort) -> None:
    admin.replies["/drain/x"] = (404, b'{"error":{"message":"there is no backend \'x\'"}}')
    with pytest.raises(click.ClickException, match="there is no backend 'x'"):
        ask(admin.address, "POST", "/drain/x")


@pytest.mark.parametrize("reply", [(404, b'{"detail":"Not Found"}'), (500, b"[]"), (404, b'{"error":"no"}')])
def test_something_else_on_that_port_is_told_as_such(admin: AdminPort, reply: tuple[int, bytes]) -> None:
    admin.replies["/status"] = reply
    with pytest.raises(click.ClickException, match=f"answered {reply[0]}"):
        ask(admin.address, "GET", "/status")


def test_what_is_no_json_is_no_daemon(admin: AdminPort) -> None:
    admin.replies["/status"] = (200, b"<html>")
    with pytest.raises(click.ClickException, match="no daemon answers"):
        ask(admin.address, "GET", "/status")


@pytest.mark.parametrize("address", ["1230", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":1230"])
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    with pytest.raises(click.UsageError, match="HOST:PORT"):
        ask(address, "GET", "/status")


def test_silence_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_client, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(click.ClickException, match="no daemon"):
        ask(f"127.0.0.1:{silent.getsockname()[1]}", "GET", "/status")


@pytest.mark.parametrize("command", [["status"], ["drain", "gpu-1"], ["purge"], ["reload"]])
def test_commands_tell_that_no_daemon_answers(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--admin", "127.0.0.1:9"])
    assert result.exit_code == 1
    assert "no daemon answers" in result.output
    result = CliRunner().invoke(main, [*command, "--admin", "nonsense"])
    assert result.exit_code == 2


def test_commands_find_the_admin_port_where_the_daemons_settings_put_it(admin: AdminPort, tmp_path: Path) -> None:
    admin.replies["/cache/purge"] = {"purged": 0}
    port = str(admin.server_port)
    (tmp_path / "b.yaml").write_text(f"admin-port: {port}\n")
    for arguments, environment in (
        (["purge"], {"LLM_BALANCER_ADMIN_PORT": port}),
        (["--admin-port", port, "--admin-host", "0.0.0.0", "purge"], {}),
        (["--config", str(tmp_path / "b.yaml"), "purge"], {}),
        (["purge", "--admin", admin.address], {"LLM_BALANCER_ADMIN_PORT": "9"}),
    ):
        result = CliRunner().invoke(main, arguments, env=environment)
        assert (result.exit_code, result.output) == (0, "0 entries forgotten\n")
    assert len(admin.asked) == 4
    said = CliRunner().invoke(main, ["--admin-port", "9", "--admin-host", "::", "purge"]).output
    assert "no daemon answers on [::1]:9" in said
    assert "--admin HOST:PORT" in CliRunner().invoke(main, ["--admin-port", "0", "purge"]).output


def test_a_table_has_aligned_columns() -> None:
    assert table([("A", "B"), ("long", "x")]) == ["A     B", "long  x"]
    assert table([]) == []
