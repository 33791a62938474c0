"""The question of a request as people see it, whatever the cache makes of it."""

from __future__ import annotations

from typing import Any


def question_of(body: dict[str, Any]) -> str:
    """The last message's text, or the prompt; empty where that is no single text."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        content = body.get("prompt")
    else:
        content = messages[-1].get("content") if messages and isinstance(messages[-1], dict) else None
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        content = content[0].get("text")
    return content if isinstance(content, str) else ""
