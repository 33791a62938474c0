from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from balancer.cli import main
from balancer.commands.status import status_text
from tests.balancer.commands.admin_port import AdminPort


def test_status_is_text_for_people_and_everything_for_programs(admin: AdminPort) -> None:
    found = admin.replies["/status"] = a_status()
    text = CliRunner().invoke(main, ["status", "--admin", admin.address]).output
    assert text == status_text(found) + "\n"
    result = CliRunner().invoke(main, ["status", "--json", "--admin", admin.address])
    assert json.loads(result.output) == found
    assert admin.asked == [("GET", "/status", b"")] * 2


def a_status(**changes: Any) -> dict[str, Any]:
    status: dict[str, Any] = {
        "version": "1.2.3",
        "uptime_s": 3725.0,
        "stopping": False,
        "backends": [],
        "queue": {"waiting": 2, "bytes": 10},
        "exchanges": {"asking": 1, "streaming": 3},
        "clients": 4,
        "cache": None,
        "counts": {"requests": 10, "completed": 7},
        "agents": {},
    }
    return {**status, **changes}


def test_a_status_is_a_few_lines_for_people() -> None:
    text = status_text(a_status())
    assert "llm-balancer 1.2.3, up 1 h 2 min" in text
    assert "10 requests, 7 completed, 4 under way, 2 waiting, 4 connections" in text
    assert "cache off" in text
    assert "no backend is registered" in text
    assert "stopping" in status_text(a_status(stopping=True))


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        ({"state": "closed", "ejections": 0, "until_s": None}, "alive  127"),
        ({"state": "open", "ejections": 2, "until_s": 41.7}, "alive, ejected 42 s"),
        ({"state": "half_open", "ejections": 2, "until_s": None}, "alive, on trial"),
        ({"state": "ramping", "ejections": 1, "until_s": 12.0}, "alive, eased in 12 s"),
    ],
)
def test_what_the_breaker_does_stands_beside_the_state(breaker: dict[str, Any], said: str) -> None:
    backend = {
        "name": "gpu-1",
        "state": "alive",
        "address": "127.0.0.1:1235",
        "in_flight": 1,
        "slots": 4,
        "beats": 12,
        "heard_ms_ago": 300,
        "models": ["m"],
        "breaker": breaker,
    }
    assert said in status_text(a_status(backends=[backend]))


def test_who_is_not_alive_has_a_reason_and_who_was_never_heard_is_said_to_be_so() -> None:
    alive = {
        "name": "a",
        "state": "alive",
        "reason": None,
        "address": "127.0.0.1:1",
        "in_flight": 0,
        "slots": 1,
        "beats": 1,
        "heard_ms_ago": 300,
        "models": ["m"],
    }
    joining = {**alive, "name": "b", "state": "joining", "reason": "/v1/models answered 401", "heard_ms_ago": None}
    head, first, second = status_text(a_status(backends=[alive, joining])).splitlines()[-3:]
    assert head.index("REASON") == second.index("/v1/models answered 401") and " never " in second
    assert "REASON" not in status_text(a_status(backends=[alive])) and "never" not in first
    long = {**joining, "reason": "x" * 100}
    assert "x" * 59 + "…  " in status_text(a_status(backends=[long]))


def test_backends_are_a_table_with_aligned_columns() -> None:
    backend = {
        "name": "gpu-1",
        "state": "alive",
        "address": "127.0.0.1:1235",
        "in_flight": 1,
        "slots": 4,
        "beats": 12,
        "heard_ms_ago": 300,
        "models": ["m", "n"],
    }
    longer = {**backend, "name": "a-much-longer-name", "models": []}
    cache = {
        "entries": 1,
        "max_entries": 10,
        "bytes": 2_500_000,
        "hits": {"exact": 3, "semantic": 2},
        "misses": 1,
        "skips": {"bypass": 2, "temperature": 1},
        "evictions": 4,
        "saved": {"tokens": 50, "seconds": 2.4},
    }
    lines = status_text(a_status(backends=[backend, longer], cache=cache, uptime_s=42.0)).splitlines()
    assert any("up 42 s" in line for line in lines)
    assert (
        "1 of 10 entries, 2.5 MB; hits 3 exact and 2 semantic, 1 misses, 3 skipped, 4 evicted; saved 50 tokens, 2 s"
        in "\n".join(lines)
    )
    head, first, second = lines[-3:]
    assert head.index("STATE") == first.index("alive") == second.index("alive")
    assert "1/4" in first and "0.3 s ago" in first and first.endswith("m, n")
    assert second.endswith("?")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "near answers: 40 served, 3 withheld; wrong share unknown: no checks, no reports"),
        (
            {"wrong_share": 0.012, "interval": [0.004, 0.03], "checks": {"served": {"right": 9, "wrong": 1}}},
            "near answers: 40 served, 3 withheld; 1.2% wrong (0.4% to 3.0%) by 10 checks (judge words)",
        ),
        (
            {"wrong_share": 0.05, "interval": [0.01, 1.0], "source": "reports", "reports": 2, "shadow": True},
            "near answers: 40 would have been served (shadow), 3 withheld; "
            "at least 5.0% wrong (1.0% to 100.0%) by 2 reports",
        ),
    ],
    ids=["nothing known", "checks", "reports"],
)
def test_what_became_of_near_answers_is_a_line(changes: dict[str, Any], expected: str) -> None:
    bound = {
        "served": 40,
        "withheld": 3,
        "wrong_share": None,
        "interval": [0.0, 1.0],
        "source": "none",
        "checks": {"served": {"right": 0, "wrong": 0}},
        "checking": {"judge": "words"},
        "reports": 0,
        "shadow": False,
    }
    hits = {"exact": 1, "semantic": 40}
    cache = {"entries": 1, "max_entries": 9, "bytes": 5, "hits": hits, "misses": 1, "skips": {}, "evictions": 0}
    lines = status_text(a_status(cache={**cache, "bound": bound | changes})).splitlines()
    assert expected in lines
