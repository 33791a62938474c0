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
"""A character has at most 4 bytes, so where this many tokens end in none, there are bytes that never will."""
HELD_MAX: Final = 4 * PENDING_MAX
"""After so many tokens all is given, also what each next token might still complete."""


class Detokenizer:
    """One answer's text. ``tokenizer`` is transformers'; special tokens make no text."""

    __slots__ = ("_decode", "_given", "_given_text", "_pending", "_told")

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int]) -> None:
        self._decode = _decoder(tokenizer)
        self._given = self._tail(prompt_ids)
        self._given_text = self._decode(self._given)
        self._pending: list[int] = []
        self._told = 0  # how many of the pending ids somebody else has given already

    def feed(self, token_id: int) -> tuple[str, tuple[int, ...]] | None:
        """Take a token: the text it completes and the ids that made it, or ``None`` within a character."""
        self._pending.append(token_id)
        text = self._decode(self._given + self._pending)
        if not text.endswith(UNFINISHED):
            return self._give(text, len(self._pending))
        if len(self._pending) < PENDING_MAX:
            return None
        return self._give_broken(text)

    def resume(self, token_ids: Sequence[int], text: str) -> bool:
        """Before the first `feed`: take up an answer whose ``token_ids`` and ``text`` were given by another one.

        Stands then where that one stood, maybe within a character. ``False``: these ids do not make that text, and
        this detokenizer is of no more use.
        """
        said = "".join(given[0] for token_id in token_ids if (given := self.feed(token_id)) is not None)
        if said != text and self._pending:
            said += self._give(self._decode(self._given + self._pending), len(self._pending))[0]
        self._told = len(self._pending)
        return said == text

    def _give_broken(self, text: str) -> tuple[str, tuple[int, ...]] | None:
        """Some of these bytes are no text: give the first tokens that nothing can complete since more came after."""
        for count in range(1, len(self._pending)):
            begin = self._decode(self._given + self._pending[:count])
            if len(begin) < len(text) and text.startswith(begin):
                return self._give(begin, count)
        return None if len(self._pending) < HELD_MAX else self._give(text, len(self._pending))

    def _give(self, text: str, count: int) -> tuple[str, tuple[int, ...]]:
        """Give the first ``count`` pending tokens; ``text`` is theirs behind that of the tokens given before."""
        ids, self._pending = self._pending[:count], self._pending[count:]
        told, self._told = self._told, max(0, self._told - count)
        new = text[len(self._given_text) :]
        self._given = ids if new else (self._given + ids)[-PENDING_MAX:]
        self._given_text = self._decode(self._given)
        return new, tuple(ids[told:])

    def flush(self) -> tuple[int, ...]:
        """The answer ends here: the ids of a character that was begun; half a character is no text."""
        ids, self._pending = tuple(self._pending[self._told :]), []
        return ids

    def _tail(self, prompt_ids: Sequence[int]) -> list[int]:
        """The last few tokens, beginning with a whole character."""
        for count in range(PENDING_MAX, PENDING_MAX + 4):
            tail = list(prompt_ids[-count:])
            if not self._decode(tail).startswith(UNFINISHED):
                break
        return tail


def _decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    """Decoding without clean-up: clean-up looks at the words around and so would change earlier text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return partial(backend.decode, skip_special_tokens=True)
    return partial(tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
