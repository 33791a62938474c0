"""What a client got."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """Filled while it comes."""

    text: str = ""
    error: str | None = None
    """What the client was told instead of, or behind, the answer; also how the connection broke."""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    attempts: int = 1
    resumed: int = 0
    ttft_s: float | None = None
    total_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    """What breaks the protocol, whatever the text is."""
