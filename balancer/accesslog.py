"""One line for each request that ended: who asked which model, who answered, how long it took. Never any text.

Lines are made at once, kept, and written in batches by `LineFile`; what may wait is bounded in bytes, and lines beyond
that are dropped and counted. What comes from outside stands in a line only as JSON text would (RFC 8259) or, in the
form for people, bare where it is plain: no value can end its line, nor pass for another field.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Final, Protocol

from balancer.exchange.outcome import Record

log = logging.getLogger("balancer.accesslog")

PENDING_MAX_BYTES: Final = 4 << 20
VALUE_MAX_CHARS: Final = 128
TOLD_EVERY_S: Final = 60.0
_KNOWN_MAX: Final = 1024
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@+][A-Za-z0-9._:/@+\-]*")

_JSON: Final = (
    '{"time":"%s.%03dZ","id":%s,"tenant":%s,"model":%s,"backend":%s,"outcome":%s,"status":%s,"attempts":%s,'
    '"resumed":%s,"queue_ms":%s,"ttft_ms":%s,"total_ms":%s,"tokens_in":%s,"tokens_out":%s,"cache":%s}\n'
)
_PAIRS: Final = (
    "time=%s.%03dZ id=%s tenant=%s model=%s backend=%s outcome=%s status=%s attempts=%s "
    "resumed=%s queue_ms=%s ttft_ms=%s total_ms=%s tokens_in=%s tokens_out=%s cache=%s\n"
)
"""Formatted with ``%``, which takes half the time of `str.format`."""


class Lines(Protocol):
    """Where batches of lines go; `balancer.linefile.LineFile` is one."""

    lost_lines: int

    @property
    def pending_bytes(self) -> int: ...

    def write(self, batch: bytes, lines: int) -> None: ...

    def reopen(self) -> None: ...

    def close(self, within_s: float) -> bool: ...


class AccessLog:
    """See the module. ``unix_time`` in seconds."""

    def __init__(self, lines: Lines, unix_time: Callable[[], float], *, as_json: bool) -> None:
        self._file = lines
        self._unix_time = unix_time
        self._form = _JSON if as_json else _PAIRS
        self._quote = _as_json if as_json else _as_value
        self._nothing = "null" if as_json else "-"
        self._known = {"": self._nothing}
        self._second = -1
        self._stamp = ""
        self._lines: list[str] = []
        self._size_bytes = 0
        self._dropped = 0
        self._told_dropped = 0
        self._tell_at = 0.0

    @property
    def dropped_lines(self) -> int:
        """Lines that were not written, since the start."""
        return self._dropped + self._file.lost_lines

    def observe(self, record: Record) -> None:
        """A request has ended."""
        if self._size_bytes + self._file.pending_bytes > PENDING_MAX_BYTES:
            self._dropped += 1
            return
        now = self._unix_time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        known, request, nothing = self._known, record.request, self._nothing
        tenant, model, backend = request.tenant, record.model or request.model or "", record.backend
        outcome, cache, ttft_s = record.outcome, record.cache, record.ttft_s
        prompt_tokens, completion_tokens = record.prompt_tokens, record.completion_tokens
        line = self._form % (
            self._stamp,
            int((now - second) * 1000),
            self._quote(request.id),
            known.get(tenant) or self._learn(tenant),
            known.get(model) or self._learn(model),
            known.get(backend) or self._learn(backend),
            known.get(outcome) or self._learn(outcome),
            record.status,
            record.attempts,
            record.resumed,
            int(record.queue_s * 1000 + 0.5),
            nothing if ttft_s is None else int(ttft_s * 1000 + 0.5),
            int(record.total_s * 1000 + 0.5),
            nothing if prompt_tokens is None else prompt_tokens,
            nothing if completion_tokens is None else completion_tokens,
            known.get(cache) or self._learn(cache),
        )
        self._lines.append(line)
        self._size_bytes += len(line)  # ASCII

    def flush(self, now: float) -> None:
        """Every tick (monotonic s): hand over what came since the last."""
        if self._lines:
            self._file.write("".join(self._lines).encode("ascii"), len(self._lines))
            self._lines.clear()
            self._size_bytes = 0
        if self.dropped_lines > self._told_dropped and now >= self._tell_at:
            log.warning("%d lines of the access log were dropped", self.dropped_lines - self._told_dropped)
            self._told_dropped = self.dropped_lines
            self._tell_at = now + TOLD_EVERY_S

    def reopen(self) -> None:
        """Begin to write to whatever file has the name now."""
        self._file.reopen()

    def close(self, now: float, within_s: float = 2.0) -> None:
        """Write what is left, as far as that is possible within a time."""
        self.flush(now)
        if not self._file.close(within_s):
            log.warning("the access log took no more lines: %d bytes are lost", self._file.pending_bytes)

    def _learn(self, value: str) -> str:
        """The value as it stands in a line, remembered: there are few of them, and they come again and again."""
        if len(self._known) >= _KNOWN_MAX:
            self._known = {"": self._nothing}
        quoted = self._quote(value)
        if len(value) <= VALUE_MAX_CHARS:
            self._known[value] = quoted
        return quoted


def _as_json(value: str) -> str:
    return json.dumps(value[:VALUE_MAX_CHARS])


def _as_value(value: str) -> str:
    return value if len(value) <= VALUE_MAX_CHARS and _PLAIN.fullmatch(value) else _as_json(value)
