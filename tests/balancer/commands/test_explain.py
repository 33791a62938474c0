from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from balancer.cli import main
from balancer.commands.explain import as_text
from tests.balancer.commands.admin_port import AdminPort

ROUTE = {
    "policy": "least-tokens",
    "model": "v1",
    "endpoint": "chat",
    "choice": "gpu-1",
    "eligible": [
        {
            "name": "gpu-1",
            "in_flight": 1,
            "slots": 8,
            "weight": 2.0,
            "score": {"wait_s": 0.25, "weight": 2.0, "cost": 0.5},
        },
        {"name": "gpu-2", "in_flight": 0, "slots": 8, "weight": 1.0, "ramp": 0.1, "score": {"cost": 2.5}},
    ],
    "filtered": [{"name": "gpu-3", "why": "slots", "detail": "8 of 8"}, {"name": "gpu-4", "why": "dead"}],
}
FOUND = {
    "asked": "gpt-x",
    "model": "v1",
    "shares": {"v1": 90.0, "v2": 30.0},
    "session": True,
    "waiting": 0,
    "routes": [ROUTE],
}


def types(admin: AdminPort, *arguments: str, stdin: str = "") -> Result:
    admin.replies["/explain"] = FOUND
    return CliRunner().invoke(main, ["explain", *arguments, "--admin", admin.address], input=stdin)


def test_a_request_is_asked_about_as_a_client_would_send_it(admin: AdminPort) -> None:
    found = types(admin, "--model", "gpt-x", "--prompt", "hi", "--session", "s", "--arm", "v1", "--json")
    assert found.exit_code == 0 and json.loads(found.output) == FOUND
    said = {
        "model": "gpt-x",
        "prompt": "hi",
        "endpoint": "chat",
        "tenant": "local",
        "prompt_cache_key": "s",
        "arm": "v1",
    }
    ((method, path, body),) = admin.asked
    assert (method, path, json.loads(body)) == ("POST", "/explain", said)


def test_a_prompt_may_come_from_standard_input(admin: AdminPort) -> None:
    types(admin, "--prompt", "-", "--endpoint", "embeddings", stdin="long text")
    assert json.loads(admin.asked[0][2]) == {"input": "long text", "endpoint": "embeddings", "tenant": "local"}


def test_people_get_a_table() -> None:
    lines = [line.split() for line in as_text(FOUND).splitlines()]
    assert lines == [
        ["gpt-x", "means", "v1", "75", "%,", "v2", "25", "%:", "this", "one", "v1,", "by", "its", "session"],
        ["v1,", "chat,", "least-tokens:", "2", "may", "take", "it", "->", "gpu-1"],
        ["BACKEND", "MAY", "IN", "USE", "WEIGHT", "WAIT_S", "COST"],
        ["gpu-1", "yes", "1/8", "2", "0.25", "0.5"],
        ["gpu-2", "yes", "0/8", "1", "x", "0.1", "2.5"],
        ["BACKEND", "WHY", "NOT"],
        ["gpu-3", "all", "slots", "are", "taken", "(8", "of", "8)"],
        ["gpu-4", "is", "silent"],
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"asked": "v1", "shares": None}, "v1, chat"),
        ({"asked": None, "shares": None}, "no model is named: v1 is meant"),
        ({"shares": None}, "gpt-x means v1\n"),
        ({"session": False}, "by chance"),
        ({"waiting": 3}, "3 requests wait"),
        ({"routes": [ROUTE, {**ROUTE, "eligible": [], "choice": None}]}, "if v1 cannot answer:"),
        ({"routes": [{**ROUTE, "choice": None}]}, "one of them"),
    ],
)
def test_the_lines_before_the_table_say_what_is_special(changes: dict[str, Any], said: str) -> None:
    assert said in as_text({**FOUND, **changes})
