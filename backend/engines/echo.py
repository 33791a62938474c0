"""An engine without a model: it says the prompt back, word by word. For tests, and to try a balancer in a second.

The answer is the last user's text (chat) or the prompt (completions); with ``ignore_eos`` it goes round until
``max_tokens``, which makes answers as long as a test likes. A token is a word with the white space before it, its id
is the CRC-32 of that. All requests step together, as they do in a batch: one timer, whatever the number of requests.
An answer that was begun elsewhere goes on behind its text; token ids are not needed for that.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, cycle

from backend.engines.base import (
    CONTINUE_FINAL_MESSAGE,
    CONTINUE_FROM,
    ChatPrompt,
    EngineInfo,
    EngineLoad,
    FinishReason,
    GenerationRequest,
    Piece,
    Prompt,
    Sink,
    TextPrompt,
    Usage,
)
from backend.engines.rate import RateMeter
from backend.engines.stops import StopScanner
from backend.errors import BackendError, InvalidRequest, PromptTooLong

_TOKEN = re.compile(r"\s*\S+|\s+\Z")


class EchoEngine:
    """See the module's text. ``delay_ms`` passes before every token, the first included."""

    def __init__(
        self, *, model: str = "echo", slots: int = 4, delay_ms: float = 0.0, max_model_len: int = 8192
    ) -> None:
        self._info = EngineInfo("echo", model, max_model_len, (CONTINUE_FROM, CONTINUE_FINAL_MESSAGE))
        self._slots = slots
        self._delay_s = delay_ms / 1000
        self._running: list[EchoGeneration] = []
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._stepped_at = time.monotonic()
        self._rate = RateMeter(self._stepped_at)

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        """Nothing to load."""

    def submit(self, request: GenerationRequest, sink: Sink) -> EchoGeneration:
        generation = EchoGeneration(request, sink, self._info.max_model_len, self._end_cancelled_soon)
        if not self._running:
            self._stepped_at = time.monotonic()
        self._running.append(generation)
        self._schedule()
        return generation

    def load(self) -> EngineLoad:
        running = self._running
        now = time.monotonic()
        return EngineLoad(
            running=len(running),
            prefill_tokens_running=sum(g.prompt_tokens for g in running if not g.is_started),
            kv_tokens_used=sum(g.prompt_tokens + g.completion_tokens for g in running),
            kv_tokens_total=self._slots * self._info.max_model_len,
            tokens_per_s=self._rate.per_s(now),
            ms_since_step=int(1000 * (now - self._stepped_at)) if running else 0,
        )

    async def close(self) -> None:
        for generation in self._running:
            generation.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._step()

    def _schedule(self) -> None:
        if self._timer is None and self._running:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._delay_s, self._step) if self._delay_s else loop.call_soon(self._step)

    def _step(self) -> None:
        self._timer = None
        stepping, self._running = self._running, []
        self._stepped_at = time.monotonic()
        self._running = [generation for generation in stepping if generation.step()] + self._running
        self._rate.add(len(stepping), self._stepped_at)
        self._schedule()

    def _end_cancelled_soon(self) -> None:
        """Not at the next step, which may be far off; nor at once, since a sink may cancel from within a piece."""
        asyncio.get_running_loop().call_soon(self._end_cancelled)

    def _end_cancelled(self) -> None:
        found, self._running = self._running, []
        self._running = [generation for generation in found if not generation.is_cancelled or generation.step()]
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None


class EchoGeneration:
    """One answer on its way."""

    def __init__(
        self, request: GenerationRequest, sink: Sink, max_model_len: int, cancelled: Callable[[], None]
    ) -> None:
        self.completion_tokens = 0
        self.is_started = False
        self.is_cancelled = False
        self._tell_cancelled = cancelled
        self._sink = sink
        self._stops = StopScanner(request.sampling.stop, request.so_far.text)
        self._error: BackendError | None = None
        self._prompt_ids: tuple[int, ...] | None = ()
        self._words: Iterator[str] = iter(())
        self._limit = 0
        try:
            self._read(request, max_model_len)
        except BackendError as error:
            self._error = error

    def _read(self, request: GenerationRequest, max_model_len: int) -> None:
        sampling = request.sampling
        whole, answer, said = _texts(request.prompt)
        self._prompt_ids = tuple(map(_token_id, _TOKEN.findall(whole)))
        words = _TOKEN.findall(answer)
        if sampling.ignore_eos and words:
            self._words = cycle([words[0] if words[0][0].isspace() else f" {words[0]}", *words[1:]])
        else:
            self._words = iter(_TOKEN.findall(answer[len(said) :] if answer.startswith(said) else answer))
        self._skip(request.so_far.text)
        room = max_model_len - self.prompt_tokens - self.completion_tokens
        if room < 1:
            used = self.prompt_tokens + self.completion_tokens
            raise PromptTooLong(f"the prompt has {used} tokens, the context is {max_model_len}", param="prompt")
        self._limit = self.completion_tokens + min(room, room if sampling.max_tokens is None else sampling.max_tokens)

    def _skip(self, said: str) -> None:
        """Go on behind what was said; in the middle of a word its rest comes first."""
        at = 0
        while at < len(said):
            word = next(self._words, "")
            part = said[at : at + len(word)]
            if not part or not word.startswith(part):
                raise InvalidRequest("the answer does not begin like this", param="continue_from")
            at += len(part)
            if part == word:
                self.completion_tokens += 1
            else:
                self._words = chain([word[len(part) :]], self._words)

    @property
    def prompt_tokens(self) -> int:
        return len(self._prompt_ids or ())

    def cancel(self) -> None:
        self.is_cancelled = True
        self._tell_cancelled()

    def step(self) -> bool:
        """Say one more word; whether there is more to come."""
        if self._error is not None:
            self._sink.failed(self._error)
            return False
        if not self.is_started and not self.is_cancelled:
            self.is_started = True
            self._sink.started(self._prompt_ids or ())
        if self.is_cancelled:
            return self._finish("cancelled")
        word = next(self._words, None)
        if word is None:
            return self._finish("stop")
        self.completion_tokens += 1
        released = self._stops.feed(word, (_token_id(word),))
        if released.stopped:
            return self._finish("stop", released.text, released.token_ids)
        if self.completion_tokens >= self._limit:
            held = self._stops.flush()
            reason: FinishReason = "length"
            return self._finish(reason, released.text + held.text, released.token_ids + held.token_ids)
        if released.token_ids:
            self._sink.piece(Piece(released.text, released.token_ids))
        return True

    def _finish(self, reason: FinishReason, text: str = "", token_ids: tuple[int, ...] = ()) -> bool:
        self._sink.piece(Piece(text, token_ids, reason, Usage(self.prompt_tokens, self.completion_tokens)))
        return False


def _texts(prompt: Prompt) -> tuple[str, str, str]:
    """All that was said, what is to be echoed, and how much of the echo was already given."""
    if isinstance(prompt, TextPrompt):
        return prompt.text, prompt.text, ""
    if isinstance(prompt, ChatPrompt):
        whole = "\n\n".join(message.content for message in prompt.messages)
        said = prompt.messages[-1].content if prompt.continue_final and prompt.messages else ""
        answer = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
        return whole, answer, said
    raise InvalidRequest("the echo engine takes text, not token ids", param="prompt")


def _token_id(word: str) -> int:
    return zlib.crc32(word.encode())
