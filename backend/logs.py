"""What a program of this package writes: its log on stderr, for people or one JSON object a line; its ready line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec


class JsonFormatter(logging.Formatter):
    """``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, and the ``traceback`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def set_up(*, json: bool) -> None:
    """Send this process's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter() if json else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it tells statistics of its caches when it ends


def ready_line(text: str, fields: Mapping[str, object], *, json: bool) -> str:
    """``text`` for people, or ``fields`` as one JSON object with ``"event":"ready"``, as the balancer has it."""
    return msgspec.json.encode({"event": "ready", **fields}).decode() if json else text
