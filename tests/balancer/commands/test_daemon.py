from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from tests.balancer.commands.admin_port import AdminPort


def run(admin: AdminPort, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--admin", admin.address])


def test_a_backend_is_drained_and_taken_back_by_its_name(admin: AdminPort) -> None:
    assert run(admin, "drain", "gpu/1").output == "gpu/1 is draining\n"
    assert run(admin, "drain", "gpu/1", "--undo").output == "gpu/1 takes requests again\n"
    assert [asked[:2] for asked in admin.asked] == [("POST", "/drain/gpu%2F1"), ("POST", "/drain/gpu%2F1?undo=1")]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"changed": [], "backends": {}}, "reloaded; changed: nothing\n"),
        ({"changed": ["policy"], "backends": {"added": ["b"]}}, "reloaded; changed: policy; upstreams: b added\n"),
    ],
)
def test_a_reload_tells_what_has_changed(admin: AdminPort, found: dict[str, object], said: str) -> None:
    admin.replies["/reload"] = found
    assert run(admin, "reload").output == said
    assert json.loads(run(admin, "reload", "--json").output) == found


def test_what_is_unwise_about_the_new_settings_is_said(admin: AdminPort) -> None:
    admin.replies["/reload"] = {"changed": ["keys"], "backends": {}, "warnings": ["there is no key"]}
    assert run(admin, "reload").output == "reloaded; changed: keys\nwarning: there is no key\n"


def test_a_reload_that_fails_tells_why_and_is_a_failure(admin: AdminPort) -> None:
    admin.replies["/reload"] = (409, b'{"error":{"message":"port: needs a restart"}}')
    result = run(admin, "reload")
    assert result.exit_code == 1 and "port: needs a restart" in result.output
