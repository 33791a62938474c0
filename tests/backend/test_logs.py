from __future__ import annotations

import logging
import sys

import msgspec

from backend.logs import JsonFormatter


def test_a_json_line_holds_time_level_logger_and_message() -> None:
    record = logging.LogRecord("backend.app", logging.WARNING, "", 0, "%d left", (3,), None)
    record.created = 0.25
    assert msgspec.json.decode(JsonFormatter().format(record)) == {
        "at": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "backend.app",
        "message": "3 left",
    }


def test_an_exception_stays_within_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: two\nlines" in msgspec.json.decode(line)["error"]
