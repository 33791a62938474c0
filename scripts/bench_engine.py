"""How fast the engine generates at 1, 4 and 16 requests at once, beside transformers' own ``generate``.

    scripts/bench_engine [--model storyteller] [--threads 1] [--tokens 200] [--rounds 3]

Tokens a second of wall time, and of CPU time by the kernel's accounting, which a busy machine disturbs less; the best
of the rounds. Then, with 15 requests running, how many steps a joiner's first token takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backend.engines.base import GenerationRequest, Piece, Sampling, TextPrompt, TokensPrompt
from backend.engines.catalog import STORYTELLER, STORYTELLER_PATH
from backend.engines.load import LoadedModel, default_threads, load_model
from backend.engines.transformers_engine import Job, TransformersEngine, Worker
from backend.errors import BackendError

PROMPT = "Once upon a time, in a small house by the sea, there lived"
LEVELS = (1, 4, 16)
TEMPERATURE = 0.8
JOINER_PROMPT_TOKENS = (10, 500, 900)


@dataclass(frozen=True)
class Speed:
    """Tokens a second, of the clock and of the CPU."""

    wall: float
    cpu: float


class Ended:
    """A sink that only tells when it is over."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.tokens = 0

    def started(self, prompt_token_ids: Sequence[int]) -> None: ...

    def piece(self, piece: Piece) -> None:
        self.tokens += len(piece.token_ids)
        if piece.finish_reason is not None:
            self.done.set()

    def failed(self, error: BackendError) -> None:
        raise error


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=STORYTELLER)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--tokens", type=int, default=200, help="made by each request")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    source = str(STORYTELLER_PATH) if options.model == STORYTELLER else options.model
    loaded = load_model(source, "cpu", options.threads)
    print(f"{options.model}, {options.threads} of {os.cpu_count()} threads, {options.tokens} tokens a request")
    print(f"{'':28}{'tokens/s':>10}{'per CPU s':>12}")
    base = bench_generate(loaded, options.tokens, options.rounds)
    asyncio.run(bench_engine(source, options, base))
    bench_joiner(loaded)


def best(measure: Callable[[], int], rounds: int) -> Speed:
    """The fastest of several rounds; ``measure`` returns the tokens it made."""
    speeds = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = measure()
        speeds.append(Speed(tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)))
    return Speed(max(speed.wall for speed in speeds), max(speed.cpu for speed in speeds))


def tell(name: str, speed: Speed, base: Speed | None = None) -> None:
    times = "" if base is None else f"   {speed.wall / base.wall:.1f}x sequential ({speed.cpu / base.cpu:.1f}x by CPU)"
    print(f"{name:28}{speed.wall:10.0f}{speed.cpu:12.0f}{times}", flush=True)


def bench_generate(loaded: LoadedModel, tokens: int, rounds: int) -> Speed:
    """transformers' own way, with the attention it chooses itself: one by one, then as batches."""
    import torch

    loaded.model.set_attn_implementation("sdpa")
    prompt = torch.tensor([loaded.tokenizer.encode(PROMPT)])

    def generate(count: int) -> int:
        ids = prompt.expand(count, -1).contiguous()
        fixed: dict[str, Any] = {"max_new_tokens": tokens, "min_new_tokens": tokens, "pad_token_id": 0}
        with torch.inference_mode():
            loaded.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=TEMPERATURE, top_p=1.0, **fixed
            )
        return count * tokens

    generate(1)
    sequential = best(lambda: generate(1), rounds)
    tell("generate, one by one", sequential)
    for count in LEVELS[1:]:
        tell(f"generate, batch of {count}", best(lambda count=count: generate(count), rounds), sequential)  # type: ignore[misc]
    return sequential


async def bench_engine(source: str, options: argparse.Namespace, base: Speed) -> None:
    """Ours, as the server uses it."""
    engine = TransformersEngine(source, name="bench", slots=max(LEVELS), device="cpu", threads=options.threads)
    await engine.start()

    async def run(count: int, tokens: int) -> int:
        sampling = Sampling(max_tokens=tokens, ignore_eos=True, temperature=TEMPERATURE, top_p=1.0)
        request = GenerationRequest(prompt=TextPrompt(PROMPT), sampling=sampling)
        sinks = [Ended() for _ in range(count)]
        for sink in sinks:
            engine.submit(request, sink)
        for sink in sinks:
            await sink.done.wait()
        return sum(sink.tokens for sink in sinks)

    await run(max(LEVELS), 10)
    for count in LEVELS:
        speeds = []
        for _ in range(options.rounds):
            wall, cpu = time.perf_counter(), time.process_time()
            made = await run(count, options.tokens)
            speeds.append(Speed(made / (time.perf_counter() - wall), made / (time.process_time() - cpu)))
        tell(f"engine, {count} at once", Speed(max(s.wall for s in speeds), max(s.cpu for s in speeds)), base)
    await engine.close()


def bench_joiner(loaded: LoadedModel) -> None:
    """Steps from a joiner's submission to its first token, while 15 others run."""
    from backend.engines.row_attention import use_row_attention

    use_row_attention(loaded.model)
    for length in JOINER_PROMPT_TOKENS:
        worker = Worker(loaded, 16)
        endless = GenerationRequest(prompt=TextPrompt(PROMPT), sampling=Sampling(ignore_eos=True))
        worker.step([Job(endless, Ended()) for _ in range(15)])
        worker.step([])
        one = GenerationRequest(
            prompt=TokensPrompt(tuple(range(1, length + 1))), sampling=Sampling(max_tokens=1, ignore_eos=True)
        )
        joiner, steps, begin = Job(one, Ended()), 1, time.perf_counter()
        told = worker.step([joiner])
        while not any(job is joiner and isinstance(what, Piece) for job, what in told):
            told, steps = worker.step([]), steps + 1
        elapsed_ms = 1000 * (time.perf_counter() - begin)
        print(f"joiner, prompt of {length:4} tokens: first token in step {steps}, after {elapsed_ms:.0f} ms")


if __name__ == "__main__":
    main()
