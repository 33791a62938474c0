from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from balancer.logs import JsonFormatter, configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def a_record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    info = None
    if error:
        try:
            raise RuntimeError("boom")
        except RuntimeError:
            info = sys.exc_info()
    return logging.LogRecord("balancer.pool", logging.WARNING, "file", 1, message, args, info)


def test_a_record_is_one_json_object_on_one_line() -> None:
    line = JsonFormatter().format(a_record("backend %s\nis gone", "gpu-1"))
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("warning", "balancer.pool", "backend gpu-1\nis gone")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    assert "traceback" not in found


def test_a_traceback_goes_along() -> None:
    assert "RuntimeError: boom" in json.loads(JsonFormatter().format(a_record("x", error=True)))["traceback"]


@pytest.mark.parametrize("as_json", [True, False])
def test_logs_go_to_standard_error_from_their_level_on(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="warning", as_json=as_json)
    logging.getLogger("balancer.x").info("quiet")
    logging.getLogger("balancer.x").warning("loud")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "quiet" not in captured.err
    (line,) = captured.err.splitlines()
    assert (json.loads(line)["message"] if as_json else line).endswith("loud")
