"""Stop strings: where an answer ends before its first one, though a stop may span tokens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

STOPS_MAX: Final = 16
STOP_MAX_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Released:
    """Text and tokens that no stop string can take back; ``stopped`` once a stop was found."""

    text: str
    token_ids: tuple[int, ...]
    stopped: bool = False


class StopScanner:
    """Holds back only the tokens whose text could still become a stop string.

    Whole tokens are held, so released text is always the text of the released token ids; at a stop the text ends
    before it while the ids of all tokens read are given. Memory is bounded by the longest stop plus one token.
    ``said`` was given before, by another one: a stop may begin there, and only what comes after is ever given.
    """

    __slots__ = ("_held", "_held_text", "_said_chars", "_stops")

    def __init__(self, stops: tuple[str, ...], said: str = "") -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held: deque[tuple[int, tuple[int, ...]]] = deque()  # characters and ids of each held token
        self._held_text = said[-STOP_MAX_CHARS:] if self._stops else ""
        self._said_chars = self._suspect_chars()
        self._held_text = self._held_text[len(self._held_text) - self._said_chars :]
        if self._said_chars:
            self._held.append((self._said_chars, ()))

    def feed(self, text: str, token_ids: tuple[int, ...]) -> Released:
        """Take the text that one or more tokens made."""
        if not self._stops:
            return Released(text, token_ids)
        self._held_text += text
        self._held.append((len(text), token_ids))
        found = [at for stop in self._stops if (at := self._held_text.find(stop)) >= 0]
        if found:
            before = self._held_text[self._said_chars : min(found)]
            return Released(before, self.flush().token_ids, stopped=True)
        return self._release(len(self._held_text) - self._suspect_chars())

    def flush(self) -> Released:
        """All that is held: the answer ended for another reason."""
        return self._release(len(self._held_text))

    def _suspect_chars(self) -> int:
        """Length of the longest tail that is the beginning of a stop."""
        text = self._held_text
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _release(self, chars: int) -> Released:
        released_ids: list[int] = []
        released_chars = 0
        while self._held and released_chars + self._held[0][0] <= chars:
            token_chars, token_ids = self._held.popleft()
            released_chars += token_chars
            released_ids.extend(token_ids)
        text, self._held_text = self._held_text[self._said_chars : released_chars], self._held_text[released_chars:]
        self._said_chars = max(0, self._said_chars - released_chars)
        return Released(text, tuple(released_ids))
