"""The engine for Hugging Face causal language models: one worker thread that loads, batches and generates.

The event loop's thread and the worker share nothing but a queue of jobs one way and, once a step, one call with all
the step's pieces the other way. transformers has continuous batching of its own; on CPU it made 131 tokens/s where
this makes over ten times that (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from backend.engines.base import (
    CONTINUE_FINAL_MESSAGE,
    CONTINUE_FROM,
    TOKEN_IDS,
    EngineInfo,
    EngineLoad,
    GenerationRequest,
    Piece,
    Sampling,
    Sink,
)
from backend.engines.load import LoadedModel, default_threads, load_model
from backend.engines.prompts import PromptEncoder
from backend.engines.rate import RateMeter
from backend.engines.runner import make_runner
from backend.engines.scheduler import Counts, Scheduler
from backend.engines.sequence import Sequence
from backend.errors import BackendError, EngineFailed, InvalidRequest, ShuttingDown

log = logging.getLogger(__name__)

UNDELIVERED_STEPS_MAX: Final = 64
"""The worker waits when the event loop is so many steps behind."""
CLOSE_S: Final = 5.0
_Emission = tuple["Job", "Piece | BackendError | tuple[int, ...]"]


class Job:
    """A submitted request. Implements `Generation`; made and cancelled by the event loop, worked on by the worker."""

    __slots__ = ("cancel_asked", "request", "sequence", "sink")

    def __init__(self, request: GenerationRequest, sink: Sink) -> None:
        self.request = request
        self.sink = sink
        self.cancel_asked = False
        self.sequence: Sequence | None = None

    def cancel(self) -> None:
        self.cancel_asked = True


class TransformersEngine:
    """Serves the model at ``source`` (local path or Hugging Face name) under ``name``."""

    def __init__(self, source: str, *, name: str, slots: int, device: str = "auto", threads: int | None = None) -> None:
        self._source, self._name, self._slots = source, name, slots
        self._device, self._threads = device, threads or default_threads()
        self._info = EngineInfo("transformers", name, 1)
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._open: set[Job] = set()
        self._counts = Counts()
        self._stepped_at = time.monotonic()
        self._rate = RateMeter(self._stepped_at)
        self._undelivered = threading.Semaphore(UNDELIVERED_STEPS_MAX)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()

    # --- the event loop's thread

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        loaded: asyncio.Future[EngineInfo] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, args=(loaded,), name="engine", daemon=True)
        self._thread.start()
        try:
            self._info = await loaded
        except BaseException:
            self._thread = None
            raise

    def submit(self, request: GenerationRequest, sink: Sink) -> Job:
        job = Job(request, sink)
        if not self._open:
            self._stepped_at = time.monotonic()
        self._open.add(job)
        self._inbox.put(job)
        return job

    def load(self) -> EngineLoad:
        now = time.monotonic()
        counts = self._counts
        return EngineLoad(
            running=counts.running,
            waiting=max(0, len(self._open) - counts.running),
            prefill_tokens_running=counts.prefill_tokens_running,
            prefill_tokens_waiting=counts.prefill_tokens_waiting,
            kv_tokens_used=counts.kv_tokens,
            kv_tokens_total=self._slots * self._info.max_model_len,
            tokens_per_s=self._rate.per_s(now),
            ms_since_step=int(1000 * (now - self._stepped_at)) if self._open else 0,
        )

    async def close(self) -> None:
        for job in self._open:
            job.cancel()
        self._inbox.put(None)
        try:
            async with asyncio.timeout(CLOSE_S if self._thread is not None else 0):
                await self._ended.wait()
        except TimeoutError:
            for job in tuple(self._open):
                self._tell(job, ShuttingDown("the engine did not stop in time"))

    def _deliver(self, emissions: list[_Emission], counts: Counts) -> None:
        """All that one step made."""
        self._undelivered.release()
        self._counts = counts
        self._stepped_at = time.monotonic()
        self._rate.add(sum(isinstance(what, Piece) for _, what in emissions), self._stepped_at)
        for job, what in emissions:
            self._tell(job, what)

    def _tell(self, job: Job, what: Piece | BackendError | tuple[int, ...]) -> None:
        if job not in self._open:
            return
        is_last = isinstance(what, BackendError) or (isinstance(what, Piece) and what.finish_reason is not None)
        if is_last:
            self._open.discard(job)
        try:
            if isinstance(what, Piece):
                job.sink.piece(what)
            elif isinstance(what, BackendError):
                job.sink.failed(what)
            else:
                job.sink.started(what)
        except Exception:  # one request's trouble must not be that of all in its step
            log.exception("a request could not take what the engine made")

    # --- the worker's thread

    def _work(self, loaded: asyncio.Future[EngineInfo]) -> None:
        assert self._loop is not None
        try:
            model = load_model(self._source, self._device, self._threads)
            worker = Worker(model, self._slots)
        except BaseException as error:
            self._loop.call_soon_threadsafe(loaded.set_exception, error)
            return
        abilities = (TOKEN_IDS, CONTINUE_FROM, CONTINUE_FINAL_MESSAGE)
        info = EngineInfo("transformers", self._name, model.max_model_len, abilities)
        self._loop.call_soon_threadsafe(loaded.set_result, info)
        closing = False
        while not closing:
            jobs, closing = self._next_jobs(block=worker.is_idle)
            emissions = worker.step(jobs)
            self._undelivered.acquire()
            self._loop.call_soon_threadsafe(self._deliver, emissions, worker.counts())
        self._loop.call_soon_threadsafe(self._ended.set)

    def _next_jobs(self, *, block: bool) -> tuple[list[Job], bool]:
        """What was submitted since the last step, and whether the end has come."""
        jobs: list[Job] = []
        try:
            while (job := self._inbox.get(block=block and not jobs)) is not None:
                jobs.append(job)
            return jobs, True
        except queue.Empty:
            return jobs, False


class Worker:
    """What the worker's thread does between two looks at the queue."""

    def __init__(self, loaded: LoadedModel, slots: int) -> None:
        self._loaded = loaded
        self._slots = slots
        vocabulary = loaded.model.config.get_text_config().vocab_size
        self._encoder = PromptEncoder(loaded.tokenizer, loaded.max_model_len, vocabulary)
        self._jobs: dict[Sequence, Job] = {}
        self._scheduler = self._new_scheduler()

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    def counts(self) -> Counts:
        return self._scheduler.counts()

    def step(self, jobs: list[Job]) -> list[_Emission]:
        """Take new jobs, drop cancelled ones, make one step. Never raises: an engine that broke begins anew."""
        import torch

        emissions: list[_Emission] = []
        for job in jobs:
            self._take(job, emissions)
        with torch.inference_mode():
            self._step(emissions)
        return emissions

    def _step(self, emissions: list[_Emission]) -> None:
        for sequence, job in tuple(self._jobs.items()):
            if job.cancel_asked:
                self._scheduler.remove(sequence)
                del self._jobs[sequence]
                emissions.append((job, sequence.cancelled()))
        try:
            for sequence, piece in self._scheduler.step():
                emissions.append((self._jobs[sequence], piece))
                if piece.finish_reason is not None:
                    del self._jobs[sequence]
        except Exception as error:
            log.exception("the engine failed; every running request ends")
            failed = EngineFailed(f"the engine failed: {type(error).__name__}")
            emissions += [(job, failed) for job in self._jobs.values()]
            self._jobs.clear()
            self._scheduler = self._new_scheduler()

    def _take(self, job: Job, emissions: list[_Emission]) -> None:
        try:
            sequence = self._sequence(job.request)
        except BackendError as error:
            emissions.append((job, error))
        except Exception as error:  # a tokenizer's own trouble with a text
            log.warning("a prompt could not be encoded: %s", type(error).__name__)
            emissions.append((job, InvalidRequest("the model's tokenizer can't encode this prompt", param="prompt")))
        else:
            self._jobs[sequence] = job
            self._scheduler.add(sequence)
            emissions.append((job, sequence.prompt_ids))

    def _sequence(self, request: GenerationRequest) -> Sequence:
        prompt_ids, so_far, detokenizer = self._encoder.encode_with_answer(request.prompt, request.so_far)
        return Sequence(
            prompt_ids,
            _with_defaults(request.sampling, self._loaded.sampling_defaults),
            detokenizer=detokenizer,
            eos_ids=self._loaded.eos_ids,
            room=self._loaded.max_model_len - len(prompt_ids) - len(so_far.token_ids),
            so_far=so_far,
        )

    def _new_scheduler(self) -> Scheduler:
        runner = make_runner(self._loaded.model, self._slots, self._loaded.max_model_len)
        return Scheduler(runner, self._slots)


def _with_defaults(sampling: Sampling, defaults: Mapping[str, Any]) -> Sampling:
    """Fill what the request left open from the model's own defaults."""
    absent = {name: value for name, value in defaults.items() if getattr(sampling, name) is None}
    return replace(sampling, **absent)
