from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from balancer.errors import ConfigError
from balancer.telemetry import Telemetry
from tests.fakes import Hall


def telemetry(hall: Hall, **changes: Any) -> Telemetry:
    fields = {"agents": {}, "connections": lambda: 0, "version": "1.2.3", "tick_s": 0.25, **changes}
    return Telemetry(hall.dispatcher, **fields)


def test_a_request_is_counted_and_written_down_once(tmp_path: Path) -> None:
    hall, path = Hall(), tmp_path / "access.log"
    found = telemetry(hall, access_log=str(path), as_json=True)
    hall.join("a")
    hall.pass_time(60.0)
    hall.ask("hello", tenant="alice")
    hall.calls[-1].answer("x")
    hall.ask("hello", model="random")
    found.advance(1000.0)
    found.close()
    completed, refused = map(json.loads, path.read_text().splitlines())
    assert (completed["tenant"], completed["model"], completed["backend"]) == ("alice", "m", "a")
    assert (completed["outcome"], completed["status"], completed["attempts"]) == ("completed", 200, 1)
    assert (refused["model"], refused["outcome"], refused["status"]) == ("random", "model_not_found", 404)
    assert "hello" not in path.read_text()
    text = found.metrics("")[0].decode()
    assert 'llm_balancer_requests_total{model="m",outcome="completed"} 1.0' in text
    assert 'llm_balancer_requests_total{model="other",outcome="model_not_found"} 1.0' in text


def test_the_file_is_begun_anew_after_it_was_moved(tmp_path: Path) -> None:
    hall, path = Hall(), tmp_path / "access.log"
    found = telemetry(hall, access_log=str(path))
    path.rename(tmp_path / "access.log.1")
    found.reopen()
    hall.pass_time(60.0)
    hall.ask("hello", model="nobody's")
    found.close()
    assert path.read_text().count("\n") == 1


def test_without_an_access_log_there_are_still_metrics() -> None:
    hall = Hall()
    found = telemetry(hall, own_models=("mini",))
    hall.pass_time(60.0)
    hall.ask("hello", model="nobody's")
    for now in (1000.0, 1000.5):
        found.advance(now)
    found.reopen()
    found.close()
    text = found.metrics("")[0].decode()
    assert 'outcome="model_not_found"} 1.0' in text
    assert "llm_balancer_event_loop_lag_seconds_sum 0.25" in text


def test_a_file_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="access-log"):
        telemetry(Hall(), access_log=str(tmp_path))
