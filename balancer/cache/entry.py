"""One cached answer: what was asked, what was said, how long it holds and what it weighs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from balancer.cache.keys import CacheKeys

ENTRY_OVERHEAD_BYTES: Final = 800
"""What an entry costs beside its two texts and its vector: objects, hash tables, LRU order (measured, rounded up)."""

QUESTION_KEPT_CHARS: Final = 256
"""Of a question that is compared exactly only: what people need to recognise it."""


@dataclass(init=False, slots=True)
class Entry:
    """A complete answer in plain text. Times are monotonic seconds. Its own ``__init__``: see `balancer.request`."""

    key: bytes
    """The exact one."""
    tenant: str
    model: str
    """The model as the request named it (resolved)."""
    question: str
    """The last user text; where no near match is allowed, at most its beginning."""
    text: str
    finish_reason: str
    answered_by: str
    """The model as the backend named it in its answer."""
    backend: str
    prompt_tokens: int | None
    completion_tokens: int | None
    max_tokens: int | None
    """The limit that the answer was made under."""
    made_s: float
    """Seconds that a backend worked on it: what each further hit saves."""
    created: float
    expires_at: float
    size_bytes: int
    """Without its vector."""

    def __init__(
        self,
        key: bytes,
        tenant: str,
        model: str,
        question: str,
        text: str,
        finish_reason: str,
        answered_by: str,
        backend: str,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        max_tokens: int | None,
        made_s: float,
        created: float,
        expires_at: float,
        size_bytes: int,
    ) -> None:
        self.key = key
        self.tenant = tenant
        self.model = model
        self.question = question
        self.text = text
        self.finish_reason = finish_reason
        self.answered_by = answered_by
        self.backend = backend
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.max_tokens = max_tokens
        self.made_s = made_s
        self.created = created
        self.expires_at = expires_at
        self.size_bytes = size_bytes

    @property
    def id(self) -> str:
        """32 hex digits: the same question gets the same id again."""
        return self.key.hex()

    def fits(self, max_tokens: int | None) -> bool:
        """Whether the answer keeps a limit on completion tokens; one of unknown length keeps only its own or more."""
        if max_tokens is None:
            return True
        if self.completion_tokens is not None:
            return self.completion_tokens <= max_tokens
        return self.max_tokens is not None and self.max_tokens <= max_tokens

    def expired(self, now: float) -> bool:
        return now >= self.expires_at


def entry_for(
    keys: CacheKeys,
    *,
    text: str,
    finish_reason: str,
    answered_by: str,
    backend: str,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    now: float,
    ttl_s: float = math.inf,
    made_s: float = 0.0,
    asked: str = "",
) -> Entry:
    """The entry for an answer; `ValueError` for a request that is not cached (``keys.exact`` is ``None``).

    ``asked``: the last user text where ``keys`` hold none.
    """
    if keys.exact is None:
        raise ValueError(f"this request is not cached: {keys.skip}")
    question = keys.text or asked[:QUESTION_KEPT_CHARS]
    size_bytes = entry_bytes(text, question)
    return Entry(
        keys.exact,
        keys.tenant,
        keys.model,
        question,
        text,
        finish_reason,
        answered_by,
        backend,
        prompt_tokens,
        completion_tokens,
        keys.max_tokens,
        made_s,
        now,
        now + ttl_s,
        size_bytes,
    )


def entry_bytes(text: str, question: str) -> int:
    """What an entry weighs without its vector."""
    return _text_bytes(text) + _text_bytes(question) + ENTRY_OVERHEAD_BYTES


def _text_bytes(text: str) -> int:
    """Without `sys.getsizeof`, which says another thing once Python keeps a text's UTF-8 beside it: two bytes a
    character and three of UTF-8, for most scripts, where it is not ASCII."""
    return len(text) if text.isascii() else 5 * len(text)
