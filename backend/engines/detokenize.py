"""Token ids to text, token by token: never half a character, and text once given never changes.

A token's text depends on the tokens before it (a space that is dropped at the beginning, a character spread over
several tokens), so each is decoded together with the last ones given, whose text is then cut off: the method of
vLLM and text-generation-inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

UNFINISHED: Final = "\N{REPLACEMENT CHARACTER}"
"""What decoders make of bytes that are no whole character."""
PENDING_MAX: Final = 8
"""A character has at most 4 bytes, so tokens that still make none after this many never will."""


class Detokenizer:
    """One answer's text. ``tokenizer`` is transformers'; special tokens make no text."""

    __slots__ = ("_decode", "_given", "_given_text", "_pending")

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int]) -> None:
        self._decode = _decoder(tokenizer)
        self._given = list(prompt_ids[-PENDING_MAX:])
        self._given_text = self._decode(self._given)
        self._pending: list[int] = []

    def feed(self, token_id: int) -> tuple[str, tuple[int, ...]] | None:
        """Take a token: the text it completes and the ids that made it, or ``None`` within a character."""
        self._pending.append(token_id)
        text = self._decode(self._given + self._pending)
        if not text.endswith(UNFINISHED):
            return self._give(text, len(self._pending))
        if len(self._pending) < PENDING_MAX:
            return None
        return self._give(self._decode(self._given + self._pending[:1]), 1)

    def _give(self, text: str, count: int) -> tuple[str, tuple[int, ...]]:
        """Give the first ``count`` pending tokens; ``text`` is theirs behind that of the tokens given before."""
        ids, self._pending = self._pending[:count], self._pending[count:]
        new = text[len(self._given_text) :]
        self._given = ids if new else (self._given + ids)[-PENDING_MAX:]
        self._given_text = self._decode(self._given)
        return new, tuple(ids)

    def flush(self) -> tuple[int, ...]:
        """The answer ends here: the ids of a character that was begun; half a character is no text."""
        ids, self._pending = tuple(self._pending), []
        return ids


def _decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    """Decoding without clean-up: clean-up looks at the words around and so would change earlier text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return partial(backend.decode, skip_special_tokens=True)
    return partial(tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
