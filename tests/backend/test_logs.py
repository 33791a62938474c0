from __future__ import annotations

import logging
import re
import sys

import msgspec
import pytest

from backend.logs import JsonFormatter, ready_line, set_up


def test_a_json_line_holds_time_level_logger_and_message() -> None:
    record = logging.LogRecord("backend.app", logging.WARNING, "", 0, "%d left", (3,), None)
    record.created = 0.25
    assert msgspec.json.decode(JsonFormatter().format(record)) == {
        "time": "1970-01-01T00:00:00.250Z",
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
    assert "ValueError: two\nlines" in msgspec.json.decode(line)["traceback"]


@pytest.mark.usefixtures("own_logging")
def test_lines_carry_the_date_and_torch_tells_only_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(json=False)
    logging.getLogger("backend.app").info("hello")
    logging.getLogger("torch._subclasses.fake_tensor").info("FakeTensor cache stats:")
    said = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    backend\.app: hello\n", said), said


def test_the_ready_line_is_for_people_or_an_event() -> None:
    fields = {"name": "b-1", "port": 1235}
    assert ready_line("backend b-1 ready", fields, json=False) == "backend b-1 ready"
    told = msgspec.json.decode(ready_line("backend b-1 ready", fields, json=True))
    assert told == {"event": "ready", "name": "b-1", "port": 1235}
