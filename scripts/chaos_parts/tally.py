"""Every answer is held against what it must be, and counted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from scripts.chaos_parts.answer import Answer
from scripts.chaos_parts.asks import Ask

_KEPT: Final = 20
"""So many failures are told in words."""


class Tally:
    """What came of all requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        """The client was told an error, or nothing."""
        self.wrong = 0
        """The answer is not what it must be, or not in the form that it must have."""
        self.resumed_answers = 0
        self.resumed = 0
        self.retried = 0
        """Answered, though another backend had to be asked first."""
        self.kinds: Counter[str] = Counter()
        self.told: list[str] = []
        self._total_s: list[float] = []
        self._ttft_s: list[float] = []

    def add(self, what: Ask, answer: Answer) -> None:
        self.requests += 1
        self.kinds[what.kind] += 1
        self.resumed_answers += answer.resumed > 0
        self.resumed += answer.resumed
        self.retried += answer.attempts > 1
        if answer.error is not None:
            self.failed += 1
            self._tell(what, f"failed after {answer.total_s:.1f} s and {len(answer.text)} characters: {answer.error}")
            return
        self._total_s.append(answer.total_s)
        if what.stream and answer.ttft_s is not None:
            self._ttft_s.append(answer.ttft_s)
        if faults := [*answer.faults, *_differences(what, answer)]:
            self.wrong += 1
            self._tell(what, "; ".join(faults[:3]))

    def _tell(self, what: Ask, text: str) -> None:
        if len(self.told) < _KEPT:
            self.told.append(f"request {what.number} ({what.kind}): {text}")

    def figures(self) -> dict[str, Any]:
        """All of it, for a table or a program."""
        return {
            "requests": self.requests,
            "failed": self.failed,
            "wrong": self.wrong,
            "resumed_answers": self.resumed_answers,
            "resumed": self.resumed,
            "retried": self.retried,
            "p50_s": quantile(self._total_s, 0.5),
            "p99_s": quantile(self._total_s, 0.99),
            "ttft_p50_s": quantile(self._ttft_s, 0.5),
            "ttft_p99_s": quantile(self._ttft_s, 0.99),
            "kinds": dict(sorted(self.kinds.items())),
            "told": self.told,
        }


def _differences(what: Ask, answer: Answer) -> list[str]:
    found = []
    if answer.text != what.expected:
        found.append(_first_difference(what.expected, answer.text))
    if what.door == "classic":
        return found
    if answer.finish_reason != "length":
        found.append(f"finish_reason is {answer.finish_reason!r}")
    usage = answer.usage or {}
    if usage.get("completion_tokens") != what.tokens:
        found.append(f"usage tells {usage.get('completion_tokens')} tokens of {what.tokens}")
    prompt_tokens = len(what.prompt.split(" "))
    if usage.get("prompt_tokens") != prompt_tokens:
        found.append(f"usage tells {usage.get('prompt_tokens')} tokens of prompt, not {prompt_tokens}")
    return found


def _first_difference(expected: str, got: str) -> str:
    pairs = enumerate(zip(expected, got, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(got)))
    shown = slice(max(0, at - 20), at + 20)
    return f"at {at} of {len(expected)} characters {got[shown]!r} instead of {expected[shown]!r}"


def quantile(values: list[float], share: float) -> float | None:
    """By rank; ``None`` of nothing."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None
