"""An engine as a model of time: continuous batching with chunked prefill and a prefix cache.

A step takes 6.0 ms and 0.35 ms for each sequence that gets a token, and the time of the prompt tokens computed in it
at 8,000 a second, at most 2,048; at most 256 sequences run; 524,288 tokens of KV memory in blocks of 16. These are the
constants that the mock worker of SMG (lightseekorg/smg) publishes. Steps without prefill are taken in one go.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from balancer.pool.load import Load
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.kv_cache import KvCache
from scripts.simulate_parts.request import BLOCK_TOKENS, Asked, Run, runs_of

KV_TOKENS = 524_288
PREFILL_TOKENS_PER_S = 8000.0
STEP_S = 0.006
DECODE_S = 0.00035
CHUNK_TOKENS = 2048
RUNNING_MAX = 256
SLOTS = 2 * RUNNING_MAX
"""What a balancer gives it at most: as many again may wait in it. Routers that count no slots know no such limit."""


@dataclass(slots=True, eq=False)
class _Sequence:
    asked: Asked
    runs: tuple[Run, ...]
    """Of its prompt."""
    private: int
    """Blocks of its answer."""
    left: int = 0
    """Prompt tokens to compute."""
    gone: bool = False


class _Step(NamedTuple):
    began_at: float
    each_s: float
    steps: int


class Engine:
    """`slowness` multiplies every time. `on_first` and `on_end` are called as it happens."""

    def __init__(
        self, clock: Clock, on_first: Callable[[Asked], None], on_end: Callable[[Asked], None], slowness: float = 1.0
    ) -> None:
        self.slowness = slowness
        self.frozen = False
        self.tokens = 0
        """Given so far."""
        self._clock = clock
        self._on_first, self._on_end = on_first, on_end
        self._cache = KvCache(KV_TOKENS // BLOCK_TOKENS)
        self._waiting: deque[_Sequence] = deque()
        self._waiting_tokens = 0
        self._prefilling: deque[_Sequence] = deque()
        self._decoding: list[tuple[int, int, _Sequence]] = []
        """By the step that gives the last token."""
        self._steps = 0
        self._step: _Step | None = None
        self._chunk: list[tuple[_Sequence, int]] = []
        self._turn = 0
        self._joined = 0
        self._ending = False
        self._any_gone = False
        self._sequences: dict[Asked, _Sequence] = {}
        self._stepped_at = 0.0

    def ask(self, asked: Asked) -> None:
        """A request arrives."""
        ask = asked.ask
        sequence = _Sequence(asked, runs_of(ask.blocks), -(-ask.output_tokens // BLOCK_TOKENS))
        sequence.left = max(1, ask.prompt_tokens - BLOCK_TOKENS * self._cache.matched(sequence.runs))
        self._sequences[asked] = sequence
        self._waiting.append(sequence)
        self._waiting_tokens += sequence.left
        if self._ending:
            return  # the next step is composed in a moment
        if self._step is None:
            self._begin()
        elif self._step.steps > 1:
            self._cut(self._step)

    def cancel(self, asked: Asked) -> None:
        """Nobody wants the answer any more; it leaves when the engine looks at it next."""
        sequence = self._sequences.pop(asked, None)
        if sequence is not None:
            sequence.gone = self._any_gone = True

    def freeze(self) -> None:
        """Stand still."""
        self.frozen = True
        self._turn += 1

    def thaw(self) -> None:
        """Go on, the step under way anew."""
        self.frozen = False
        if self._step is not None:
            self._plan(self._step._replace(began_at=self._clock.now))

    def load(self, slots: int) -> Load:
        """As its agent would report it."""
        running = len(self._prefilling) + len(self._decoding)
        silent_s = self._clock.now - self._stepped_at if running else 0.0
        return Load(
            running=running,
            waiting=len(self._waiting),
            slots=slots,
            prefill_tokens_running=sum(sequence.left for sequence in self._prefilling),
            prefill_tokens_waiting=self._waiting_tokens,
            kv_tokens_used=self._cache.used * BLOCK_TOKENS,
            kv_tokens_total=KV_TOKENS,
            ms_since_step=int(1000 * silent_s),
        )

    def _begin(self) -> None:
        """Compose the next step, if there is anything to do."""
        if self._any_gone:
            self._let_go()
        self._admit()
        chunk, room = [], CHUNK_TOKENS
        for sequence in self._prefilling:
            if not room:
                break
            part = min(room, sequence.left)
            chunk.append((sequence, part))
            room -= part
        self._chunk = chunk
        decoding = len(self._decoding)
        if not chunk and not decoding:
            self._step = None
            return
        prefill_s = (CHUNK_TOKENS - room) / PREFILL_TOKENS_PER_S
        each_s = self.slowness * (STEP_S + DECODE_S * decoding + prefill_s)
        steps = 1 if chunk else self._decoding[0][0] - self._steps
        self._plan(_Step(self._clock.now, each_s, steps))

    def _plan(self, step: _Step) -> None:
        self._step = step
        self._turn += 1
        if not self.frozen:
            self._clock.at(step.began_at + step.each_s * step.steps, self._end, self._turn)

    def _cut(self, step: _Step) -> None:
        """Somebody came while several steps were taken in one go: they end with the one under way."""
        taken = int((self._clock.now - step.began_at) / step.each_s) + 1
        if taken < step.steps:
            self._plan(step._replace(steps=taken))

    def _let_go(self) -> None:
        """Of those that nobody waits for any more."""
        self._any_gone = False
        for sequence in [*self._prefilling, *(each[2] for each in self._decoding)]:
            if sequence.gone:
                self._cache.give_back(sequence.runs, sequence.private, ())
        self._prefilling = deque(sequence for sequence in self._prefilling if not sequence.gone)
        self._decoding = [each for each in self._decoding if not each[2].gone]
        heapq.heapify(self._decoding)

    def _admit(self) -> None:
        waiting = self._waiting
        while waiting and len(self._prefilling) + len(self._decoding) < RUNNING_MAX:
            sequence = waiting[0]
            ask = sequence.asked.ask
            if not sequence.gone:
                matched = self._cache.take(sequence.runs, sequence.private)
                if matched is None:
                    return
                cached = min(matched * BLOCK_TOKENS, ask.prompt_tokens - 1)
                sequence.asked.cached_tokens = cached
            self._waiting_tokens -= sequence.left
            waiting.popleft()
            if not sequence.gone:
                sequence.left = ask.prompt_tokens - cached
                self._prefilling.append(sequence)

    def _end(self, turn: int) -> None:
        """The planned steps are done."""
        if turn != self._turn or self._step is None:
            return
        now = self._stepped_at = self._clock.now
        self._steps += self._step.steps
        self.tokens += self._step.steps * len(self._decoding)
        self._ending = True
        ended: list[_Sequence] = []
        while self._decoding and self._decoding[0][0] <= self._steps:
            ended.append(heapq.heappop(self._decoding)[2])
        for sequence, part in self._chunk:
            sequence.left -= part
            if not sequence.left:
                self._prefilling.popleft()
                self._joins(sequence, now)
        for sequence in ended:
            self._leaves(sequence, now)
        self._step = None
        self._ending = False
        self._begin()

    def _joins(self, sequence: _Sequence, now: float) -> None:
        """Its prompt is computed, which gives its first token."""
        asked = sequence.asked
        self.tokens += 1
        self._joined += 1
        heapq.heappush(self._decoding, (self._steps + max(1, asked.ask.output_tokens - 1), self._joined, sequence))
        if not sequence.gone:
            asked.first_at = now if asked.first_at < 0 else asked.first_at
            self._on_first(asked)

    def _leaves(self, sequence: _Sequence, now: float) -> None:
        asked = sequence.asked
        self._cache.give_back(sequence.runs, sequence.private, runs_of(asked.ask.then))
        if not sequence.gone:
            del self._sequences[asked]
            asked.ended_at = now
            self._on_end(asked)
