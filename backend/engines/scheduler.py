"""Continuous batching: which sequences share the next forward pass. A sequence joins and leaves between steps.

One `step` decodes one token for every joined sequence, then prefills prompts up to a budget; a sequence whose prompt
is through gets its first token in the same step. All tokens of a step are drawn together.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backend.engines.base import Piece
from backend.engines.runner import PREFILL_CHUNK, REPLAY_CHUNK, Runner
from backend.engines.sampling import sample
from backend.engines.sequence import Sequence

if TYPE_CHECKING:
    import torch

PREFILL_BUDGET: Final = PREFILL_CHUNK
"""Prompt tokens of one step: what running answers wait for when another joins."""
REPLAY_COST: Final = 4
"""A replayed token takes as long as so many prompt tokens."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the scheduler holds, for heartbeats."""

    running: int = 0
    waiting: int = 0
    prefill_tokens_running: int = 0
    prefill_tokens_waiting: int = 0
    kv_tokens: int = 0


class Scheduler:
    """Up to ``slots`` sequences at once; more wait in order. Used by the worker only, within `torch.inference_mode`."""

    def __init__(self, runner: Runner, slots: int) -> None:
        self._runner = runner
        self._slots = slots
        self._joined: list[Sequence] = []
        self._prefilling: Sequence | None = None
        self._waiting: deque[Sequence] = deque()

    @property
    def is_idle(self) -> bool:
        return not (self._joined or self._waiting or self._prefilling)

    def add(self, sequence: Sequence) -> None:
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, wherever it is."""
        if sequence in self._joined:
            self._joined.remove(sequence)
        elif sequence is self._prefilling:
            self._prefilling = None
        elif sequence in self._waiting:
            self._waiting.remove(sequence)
        self._runner.leave(sequence.row)

    def step(self) -> list[tuple[Sequence, Piece]]:
        """One step. What it made; a sequence whose piece has a finish reason has left."""
        import torch

        stepping, logits = self._forward()
        tokens = sample(torch.cat(logits), [s.sampler for s in stepping]) if stepping else []
        made = []
        for sequence, token in zip(stepping, tokens, strict=True):
            piece = sequence.advance(token)
            if piece is None:
                continue
            made.append((sequence, piece))
            if piece.finish_reason is not None:
                self.remove(sequence)
        return made

    def _forward(self) -> tuple[list[Sequence], list[torch.Tensor]]:
        """Who gets a token in this step, and the logits for it, in the same order."""
        stepping = sorted(self._joined, key=_row_index)
        logits: list[torch.Tensor] = []
        if stepping:
            logits.append(self._runner.decode([s.row for s in stepping], [s.sampler.last_token for s in stepping]))
        for sequence, first_logits in self._prefill():
            stepping.append(sequence)
            logits.append(first_logits[None])
        return stepping, logits

    def counts(self) -> Counts:
        prefilling = self._prefilling
        held = [*self._joined, prefilling] if prefilling is not None else self._joined
        return Counts(
            running=len(held),
            waiting=len(self._waiting),
            prefill_tokens_running=prefilling.prefill_left if prefilling is not None else 0,
            prefill_tokens_waiting=sum(sequence.prefill_left for sequence in self._waiting),
            kv_tokens=sum(sequence.row.length for sequence in held),
        )

    def _prefill(self) -> list[tuple[Sequence, torch.Tensor]]:
        """Prompts in order of arrival; those that got through, with the logits for their first token."""
        budget = PREFILL_BUDGET
        through: list[tuple[Sequence, torch.Tensor]] = []
        while True:
            if self._prefilling is None:
                if not self._waiting or len(self._joined) >= self._slots:
                    return through
                self._prefilling = self._waiting.popleft()
            sequence = self._prefilling
            begin, prompt_tokens = sequence.row.length, len(sequence.prompt_ids)
            replaying = begin >= prompt_tokens
            if replaying:
                chunk = sequence.so_far_ids[begin - prompt_tokens :][:REPLAY_CHUNK]
            else:
                chunk = sequence.prompt_ids[begin : begin + PREFILL_CHUNK]
            cost = len(chunk) * (REPLAY_COST if replaying else 1)
            if cost > budget:
                return through  # chunks are never cut shorter: other shapes would round differently
            budget -= cost
            logits = (self._runner.replay if replaying else self._runner.prefill)(sequence.row, chunk)
            if not sequence.prefill_left:
                self._runner.join(sequence.row)
                self._joined.append(sequence)
                self._prefilling = None
                through.append((sequence, logits))


def _row_index(sequence: Sequence) -> int:
    return sequence.row.index
