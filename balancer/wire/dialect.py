"""What is read of bodies in the OpenAI dialect: typed structs, so that what nobody reads is skipped.

Without logic: msgspec makes these classes, so this module cannot be compiled, and those that read them can.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

NULL: Final = msgspec.Raw(b"null")
"""The default of what is kept unread: msgspec takes ``Raw | None`` to allow nothing but null."""


class Usage(msgspec.Struct, omit_defaults=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ToldUsage(msgspec.Struct):
    """Usage as engines tell it: some write null for what they did not count."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = None

    def counted(self) -> Usage | None:
        """``None`` unless prompt and completion were."""
        prompt, completion = self.prompt_tokens, self.completion_tokens
        if prompt is None or completion is None:
            return None
        return (
            usage_of(prompt, completion) if self.total_tokens is None else Usage(prompt, completion, self.total_tokens)
        )


def usage_of(prompt_tokens: int, completion_tokens: int) -> Usage:
    return Usage(prompt_tokens, completion_tokens, prompt_tokens + completion_tokens)


class Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    """Some reasoning models stream a list of parts, which is more than a text."""
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    reasoning_content: msgspec.Raw = NULL
    reasoning: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL


class Choice(msgspec.Struct):
    index: int = 0
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    logprobs: msgspec.Raw = NULL


class Chunk(msgspec.Struct):
    """One streamed chunk of chat or completions; fields that are not here are not read."""

    id: str = ""
    model: str = ""
    created: float = 0
    """Unix seconds."""
    choices: list[Choice] = []
    told: ToldUsage | None = msgspec.field(default=None, name="usage")
    error: msgspec.Raw = NULL
    prompt_token_ids: list[int] | None = None

    @property
    def usage(self) -> Usage | None:
        """If it was counted."""
        return self.told.counted() if self.told is not None else None


class WholeChoice(msgspec.Struct):
    index: int = 0
    message: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = NULL


class Whole(msgspec.Struct):
    """An answer of chat or completions in one piece; fields that are not here are not read."""

    model: str = ""
    created: float = 0
    """Unix seconds."""
    choices: list[WholeChoice] = []
    told: ToldUsage | None = msgspec.field(default=None, name="usage")

    @property
    def usage(self) -> Usage | None:
        """If prompt and completion were counted."""
        return self.told.counted() if self.told is not None else None


class ErrorFields(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: Any = None


class ErrorBody(msgspec.Struct):
    error: ErrorFields | str | None = None
    message: str | None = None
    detail: Any = None
