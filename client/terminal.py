"""How the chat looks: colours where they are wanted, and the quiet line under an answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from client.events import Done, Timing
from client.inert import inert, inert_line

_SGR: Final[Mapping[str, str]] = {"dim": "2", "bold": "1", "red": "31", "cyan": "36"}


class Terminal:
    """Writes to a terminal or a pipe. To a terminal, text from elsewhere goes inert; to a pipe, as it is."""

    def __init__(self, out: TextIO, *, environment: Mapping[str, str]) -> None:
        self._out = out
        self.is_tty = out.isatty()
        self._colour = self.is_tty and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        self._at_line_start = True

    def write(self, text: str) -> None:
        """A piece of an answer, at once."""
        shown = inert(text) if self.is_tty else text.encode("utf-8", "replace").decode()
        if shown:
            self._out.write(shown)
            self._out.flush()
            self._at_line_start = shown.endswith("\n")

    def line(self, text: str, style: str | None = None) -> None:
        """A whole line of our own, below whatever stands there."""
        self.end_line()
        self._out.write(self.styled(inert_line(text), style) + "\n")
        self._out.flush()

    def end_line(self) -> None:
        """Go to the start of a line."""
        if not self._at_line_start:
            self._out.write("\n")
            self._out.flush()
            self._at_line_start = True

    def interrupted(self) -> None:
        """The terminal has shown ``^C`` where the cursor stood."""
        self._at_line_start = False

    def space(self) -> None:
        """An empty line, below whatever stands there."""
        self.end_line()
        self._out.write("\n")
        self._out.flush()

    def styled(self, text: str, style: str | None) -> str:
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if style and self._colour else text

    def prompt(self, text: str) -> str:
        """What stands before the cursor; readline must know which of it has no width."""
        if not self._colour:
            return text
        return f"\x01\x1b[{_SGR['cyan']}m\x02{text}\x01\x1b[0m\x02"


def quiet_line(done: Done, timing: Timing, *, resumed: int = 0) -> str:
    """Backend, the cache's part, and speed."""
    parts = [done.backend or "", cache_part(done), *_speed(done, timing)]
    if resumed:
        parts.append("taken over by another backend")
    if done.finish_reason == "cancelled":
        parts.append("stopped")
    elif done.finish_reason not in ("stop", ""):
        parts.append(f"ended by {done.finish_reason}")
    return " · ".join(part for part in parts if part)


def cache_part(done: Done) -> str:
    """``miss``, ``exact``, or ``semantic 0.97``."""
    if done.cache == "semantic" and done.similarity is not None:
        return f"semantic {done.similarity:.2f}"
    return done.cache or ""


def _speed(done: Done, timing: Timing) -> list[str]:
    parts = [f"{timing.tokens} {'token' if timing.tokens == 1 else 'tokens'}"] if timing.tokens else []
    if timing.tokens_per_s is not None and not done.from_cache:
        parts.append(f"{timing.tokens_per_s:.0f} tok/s")
    if timing.ttft_s is not None:
        parts.append(f"first after {seconds(timing.ttft_s)}")
    return parts


def seconds(value_s: float) -> str:
    """A short time for people."""
    return f"{value_s * 1000:.0f} ms" if value_s < 0.9995 else f"{value_s:.1f} s"


def summary(text: str, done: Done, timing: Timing) -> dict[str, Any]:
    """An answer as one JSON object: ``text``, everything of ``done``, and how long it took."""
    return {
        "text": text,
        **done.fields,
        "timing": {
            "ttft_s": _rounded(timing.ttft_s),
            "total_s": _rounded(timing.total_s),
            "tokens": timing.tokens,
            "tokens_per_s": _rounded(timing.tokens_per_s),
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def with_line_editing() -> None:
    """Arrow keys and this session's history at the prompt, where Python has readline. Nothing is written to disk."""
    with contextlib.suppress(ImportError):
        import readline

        readline.set_auto_history(True)
        if sys.platform != "darwin":
            readline.parse_and_bind("set enable-bracketed-paste on")
