"""One modelled engine and the answers that it gives: the simulator's model on a clock that follows the real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from backend.engines.base import EngineLoad
from scripts.bench_routing_parts.live_clock import LiveClock
from scripts.bench_routing_parts.texts import CHARS_A_TOKEN, runs, text, token_count
from scripts.simulate_parts.engine import KV_TOKENS, SLOTS, Engine
from scripts.simulate_parts.request import BLOCK_TOKENS, Ask, Asked

MODEL = "modelled"
TELL_EVERY_S = 1.0
"""Answers under way get their new tokens of so long in one event, much as SGLang's ``--stream-interval`` has it: what
an event costs a machine that engines, balancer and clients share is not what is measured here."""


class Reader(Protocol):
    """Who gets an answer."""

    def event(self, content: bytes) -> None: ...

    def ended(self) -> None: ...


class Question(msgspec.Struct):
    """What of a request matters to the model."""

    messages: list[dict[str, str]]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False

    @property
    def tokens(self) -> int:
        return self.max_completion_tokens or self.max_tokens or 16

    @property
    def contents(self) -> list[str]:
        return [message["content"] for message in self.messages]


@dataclass(slots=True, eq=False)
class Answer:
    """Under way to its reader."""

    reader: Reader
    text: str
    told: int = 0
    """Characters."""


class LiveEngine(Engine):
    """Call `tell` now and then. ``name`` is told with each answer."""

    def __init__(self, clock: LiveClock, name: str) -> None:
        super().__init__(clock, self._began, self._ended)
        self.name = name
        self.prompt_tokens = self.cached_tokens = self.answered = 0
        """Of what was answered so far."""
        self._live = clock
        self._asked = 0
        self._answers: dict[Asked, Answer] = {}

    def question(self, question: Question, reader: Reader) -> Asked:
        """A request that came now."""
        self._live.catch_up()
        contents = question.contents
        answer = text(f"{self.name} {self._asked}", question.tokens)
        self._asked += 1
        tokens = max(1, sum(map(token_count, contents)))
        ask = Ask("", "", tokens, question.tokens, runs(contents), runs([*contents, answer]))
        asked = Asked(ask, self._live.now)
        self._answers[asked] = Answer(reader, answer)
        self.ask(asked)
        return asked

    def drop(self, asked: Asked) -> None:
        """Its reader has gone."""
        self._live.catch_up()
        if self._answers.pop(asked, None) is not None:
            self.cancel(asked)

    def tell(self) -> None:
        """New tokens of what is under way."""
        for asked, tokens in self._given():
            self._tell(asked, tokens)

    def metrics(self) -> bytes:
        """The page of a vLLM, the few lines of it that tell of load."""
        load = self.load(SLOTS)
        label = f'{{engine="0",model_name="{MODEL}"}}'
        memory = f'block_size="{BLOCK_TOKENS}",engine="0",num_gpu_blocks="{KV_TOKENS // BLOCK_TOKENS}"'
        return (
            f"vllm:num_requests_running{label} {load.running}.0\n"
            f"vllm:num_requests_waiting{label} {load.waiting}.0\n"
            f"vllm:kv_cache_usage_perc{label} {load.kv_tokens_used / KV_TOKENS}\n"
            f"vllm:cache_config_info{{{memory}}} 1.0\n"
            f"vllm:prompt_tokens_total{label} {self.prompt_tokens}.0\n"
            f"vllm:generation_tokens_total{label} {self.tokens}.0\n"
        ).encode()

    def beat(self) -> EngineLoad:
        """What an agent tells of it."""
        load = self.load(SLOTS)
        return EngineLoad(
            load.running,
            load.waiting,
            load.prefill_tokens_running,
            load.prefill_tokens_waiting,
            load.kv_tokens_used,
            load.kv_tokens_total,
            ms_since_step=load.ms_since_step,
        )

    def _given(self) -> Iterator[tuple[Asked, int]]:
        steps, step = self._steps, self._step
        if step is not None:
            steps += min(step.steps - 1, int((self._live.now - step.began_at) / step.each_s))
        for last, _, sequence in self._decoding:
            yield sequence.asked, sequence.asked.ask.output_tokens - max(0, last - steps)

    def _began(self, asked: Asked) -> None:
        self._tell(asked, 1)

    def _ended(self, asked: Asked) -> None:
        answer = self._answers.get(asked)
        if answer is None:
            return
        ask = asked.ask
        self.answered += 1
        self.prompt_tokens += ask.prompt_tokens
        self.cached_tokens += asked.cached_tokens
        self._tell(asked, ask.output_tokens)
        del self._answers[asked]
        usage = {
            "prompt_tokens": ask.prompt_tokens,
            "completion_tokens": ask.output_tokens,
            "total_tokens": ask.prompt_tokens + ask.output_tokens,
            "prompt_tokens_details": {"cached_tokens": asked.cached_tokens},
            "first_token_s": asked.ttft_s,
        }
        answer.reader.event(self._event([{"index": 0, "delta": {}, "finish_reason": "length"}]))
        answer.reader.event(self._event([], usage=usage))
        answer.reader.ended()

    def _tell(self, asked: Asked, tokens: int) -> None:
        answer = self._answers.get(asked)
        if answer is None or (end := tokens * CHARS_A_TOKEN) <= answer.told:
            return
        piece, answer.told = answer.text[answer.told : end], end
        answer.reader.event(self._event([{"index": 0, "delta": {"content": piece}, "finish_reason": None}]))

    def _event(self, choices: list[dict[str, object]], **more: object) -> bytes:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": MODEL}
        return msgspec.json.encode({**chunk, "system_fingerprint": self.name, "choices": choices, **more})
