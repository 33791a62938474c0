"""A stream of server-sent events as a strict client reads it: one answer, one voice, one end."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_END: Final = b"\n\n"
_RESUMED: Final = re.compile(r"^: balancer .*\bresumed=(\d+)", re.MULTILINE)
_ATTEMPTS: Final = re.compile(r"^: balancer .*\battempts=(\d+)", re.MULTILINE)


class Stream:
    """Feed it the body. ``faults`` are what no correct stream has; an error event is told apart in ``error``."""

    def __init__(self, endpoint: str) -> None:
        self._chat = endpoint == "chat"
        self._rest = b""
        self._first: dict[str, Any] = {}
        self._done = False
        self._roles = 0
        self.pieces: list[str] = []
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.comments = ""
        self.faults: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def id(self) -> str | None:
        return self._first.get("id")

    @property
    def model(self) -> str | None:
        return self._first.get("model")

    @property
    def resumed(self) -> int:
        """As the last comment tells."""
        found = _RESUMED.search(self.comments)
        return int(found[1]) if found else 0

    @property
    def attempts(self) -> int | None:
        """As the last comment tells; ``None``: there is none."""
        found = _ATTEMPTS.search(self.comments)
        return int(found[1]) if found else None

    def feed(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(_END)
        for event in events:
            self._event(event.decode())

    def end(self) -> None:
        """The body is over."""
        if self._rest:
            self.faults.append(f"half an event: {self._rest[:80]!r}")
        if self.error is not None:
            return
        if not self._done:
            self.faults.append("ended without [DONE]")
        if self.finish_reason is None:
            self.faults.append("ended without a finish_reason")
        if self._chat and self._roles != 1:
            self.faults.append(f"{self._roles} role chunks")

    def _event(self, event: str) -> None:
        if event.startswith(":"):
            self.comments += event + "\n"
            return
        if not event.startswith("data: "):
            self.faults.append(f"no event: {event[:80]!r}")
            return
        if self._done or self.error is not None:
            self.faults.append(f"an event after the end: {event[:80]!r}")
        data = event[6:]
        if data == "[DONE]":
            self._done = True
            return
        chunk = json.loads(data)
        if "error" in chunk:
            self.error = chunk["error"]
        else:
            self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        self._first = self._first or chunk
        for name in ("id", "model", "created", "object"):
            if chunk.get(name) != self._first.get(name):
                self.faults.append(f"{name} changed from {self._first.get(name)!r} to {chunk.get(name)!r}")
        if chunk.get("usage") is not None:
            if self.usage is not None:
                self.faults.append("usage twice")
            self.usage = chunk["usage"]
        for choice in chunk["choices"]:
            self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        if self.finish_reason is not None:
            self.faults.append("a choice after the finish")
        if self._chat:
            if "role" in choice["delta"]:
                self._roles += 1
                if self.pieces:
                    self.faults.append("a role behind text")
            text = choice["delta"].get("content") or ""
        else:
            text = choice["text"]
        if text:
            self.pieces.append(text)
        self.finish_reason = choice["finish_reason"] or self.finish_reason
