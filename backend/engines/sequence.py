"""One request inside the batching engine: its tokens, its text, where it ends."""

from __future__ import annotations

from typing import Final

from backend.engines.base import FinishReason, Piece, Sampling, SoFar, Usage
from backend.engines.detokenize import Detokenizer
from backend.engines.runner import Row
from backend.engines.sampling import Sampler
from backend.engines.stops import Released, StopScanner

_NOTHING: Final = Released("", ())


class Sequence:
    """A prompt and the answer to it so far. Used by the worker only."""

    __slots__ = (
        "_detokenizer", "_eos_ids", "_limit", "_stops", "completion_tokens", "prompt_ids", "row", "sampler",
        "so_far_ids",
    )  # fmt: skip

    def __init__(
        self,
        prompt_ids: tuple[int, ...],
        sampling: Sampling,
        *,
        detokenizer: Detokenizer,
        eos_ids: frozenset[int],
        room: int,
        so_far: SoFar,
    ) -> None:
        """``room`` is how many tokens the context has left; ``so_far`` has token ids where it has text, and
        ``detokenizer`` stands behind them."""
        self.prompt_ids = prompt_ids
        self.so_far_ids = so_far.token_ids
        self.completion_tokens = len(so_far.token_ids)
        self.row = Row()
        self.sampler = Sampler(sampling, prompt_ids, so_far.token_ids)
        self._limit = self.completion_tokens + (room if sampling.max_tokens is None else min(room, sampling.max_tokens))
        self._eos_ids = frozenset() if sampling.ignore_eos else eos_ids
        self._detokenizer = detokenizer
        self._stops = StopScanner(sampling.stop, so_far.text)

    @property
    def prefill_left(self) -> int:
        """Tokens of prompt and answer so far that no forward pass has seen; a token just made is not counted."""
        return max(0, len(self.prompt_ids) + len(self.so_far_ids) - self.row.length)

    def advance(self, token_id: int) -> Piece | None:
        """Take the next token; what of the answer can be given, ``None`` if nothing yet."""
        self.completion_tokens += 1
        if token_id in self._eos_ids:
            return self._last("stop", token_id)
        given = self._detokenizer.feed(token_id)
        released = _NOTHING if given is None else self._stops.feed(*given)
        if released.stopped:
            return Piece(released.text, released.token_ids, "stop", self.usage)
        if self.completion_tokens >= self._limit:
            rest = self._last("length")
            return Piece(released.text + rest.text, released.token_ids + rest.token_ids, "length", self.usage)
        return Piece(released.text, released.token_ids) if released.token_ids or released.text else None

    def cancelled(self) -> Piece:
        """The end of an answer that nobody waits for."""
        return Piece("", (), "cancelled", self.usage)

    @property
    def usage(self) -> Usage:
        return Usage(len(self.prompt_ids), self.completion_tokens)

    def _last(self, reason: FinishReason, *more_ids: int) -> Piece:
        """What was held back, since nothing can follow that would take it back."""
        unfinished = self._detokenizer.flush()
        held = self._stops.flush()
        return Piece(held.text, held.token_ids + unfinished + more_ids, reason, self.usage)
