"""An engine's load from its own metrics: the Prometheus text of vLLM, SGLang and llama.cpp.

Engines write hundreds of kilobytes (a histogram has a line for each bucket) and are read once a second, so the few
lines that say something are looked for by their names, and the rest is never split or parsed. What makes no sense is
left out: a metric is somebody else's text.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text-based format).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

KV_TOKENS_ASSUMED: Final = 500_000
"""What a KV cache holds whose engine tells its use as a share alone."""
_COUNT_MAX: Final = 1e9
_PRIORITY: Final = re.compile(r'\bpriority="[^"]')
_BLOCKS: Final = re.compile(r'\bnum_gpu_blocks="(\d{1,12})"')
_BLOCK_SIZE: Final = re.compile(r'\bblock_size="(\d{1,6})"')
_SHARD: Final = re.compile(r'\b(?:tp_rank|pp_rank|moe_ep_rank)="[^"]*",?')


class EngineLoad(NamedTuple):
    """What an engine tells of its load at this moment."""

    engine: str
    """``vllm``, ``sglang`` or ``llamacpp``."""
    running: int
    """Requests being worked on, over all models and data parallel ranks."""
    waiting: int
    """Requests in the engine's own queue."""
    kv_usage: float | None = None
    """Share of the KV cache in use, 0 to 1: the fullest rank's. ``None`` where the engine does not tell."""
    progress: tuple[float, ...] = ()
    """Numbers some of which change with every few steps of the engine: two equal readings while requests run mean
    that nothing moved between them. Empty where the engine has no such counter."""
    kv_tokens: int = 0
    """How many tokens the KV cache holds, of all ranks together; 0 where the engine does not tell."""

    @property
    def kv_tokens_used_and_total(self) -> tuple[int, int]:
        """Its use in tokens, and of how many; zeros where the engine does not tell its use."""
        if self.kv_usage is None:
            return 0, 0
        total = self.kv_tokens or KV_TOKENS_ASSUMED
        return round(self.kv_usage * total), total


class _Names(NamedTuple):
    engine: str
    running: str
    waiting: str
    kv_usage: tuple[str, ...]
    """The newest first."""
    kv_tokens: str
    """A number of tokens, or (vLLM) a line whose labels tell blocks and their size."""
    progress: tuple[str, ...]


_ENGINES: Final = (
    _Names(
        "vllm",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "vllm:cache_config_info",
        ("vllm:generation_tokens_total", "vllm:prompt_tokens_total"),
    ),
    _Names(
        "sglang",
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
        ("sglang:token_usage",),
        "sglang:max_total_num_tokens",
        # The token totals move only when a request ends; these move with the scheduler.
        ("sglang:num_used_tokens", "sglang:gen_throughput", "sglang:generation_tokens_total"),
    ),
    _Names(
        "llamacpp",
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        ("llamacpp:kv_cache_usage_ratio",),
        "",
        ("llamacpp:n_decode_total", "llamacpp:tokens_predicted_total", "llamacpp:prompt_tokens_total"),
    ),
)


def parse_load(text: str) -> EngineLoad | None:
    """The load in an engine's metrics; ``None`` if they are of no engine known here. Never raises."""
    text = "\n" + text
    for names in _ENGINES:
        running = _count(text, names.running)
        if running is not None:
            usage = next((found for name in names.kv_usage if (found := _values(text, name))), ())
            moving = tuple(sum(values) for name in names.progress if (values := _values(text, name)))
            return EngineLoad(
                names.engine,
                running,
                _count(text, names.waiting) or 0,
                min(1.0, max(usage)) if usage else None,
                (*moving, *usage) if moving else (),
                _kv_tokens(text, names.kv_tokens) if names.kv_tokens else 0,
            )
    return None


def _kv_tokens(text: str, name: str) -> int:
    """The sum over all ranks; shards of one rank hold the same tokens."""
    ranks: dict[str, float] = {}
    for labels, value in _series(text, name):
        blocks, size = _BLOCKS.search(labels), _BLOCK_SIZE.search(labels)
        tokens = float(blocks[1]) * float(size[1]) if blocks and size else value if value > 1 else 0.0
        rank = _SHARD.sub("", labels)
        ranks[rank] = max(ranks.get(rank, 0.0), min(tokens, _COUNT_MAX))
    return int(sum(ranks.values()))


def _count(text: str, name: str) -> int | None:
    """The sum over all series. Tensor and pipeline shards of one rank tell of the same requests: the largest counts."""
    ranks: dict[str, float] = {}
    for labels, value in _series(text, name):
        # SGLang tells the total under an empty priority, and each priority's share beside it.
        if _PRIORITY.search(labels) is None:
            rank = _SHARD.sub("", labels)
            ranks[rank] = max(ranks.get(rank, 0.0), min(value, _COUNT_MAX))
    return int(sum(ranks.values())) if ranks else None


def _values(text: str, name: str) -> tuple[float, ...]:
    return tuple(value for _, value in _series(text, name))


def _series(text: str, name: str) -> Iterator[tuple[str, float]]:
    """Label text and value of each line of ``name``; ``text`` begins with a newline."""
    needle = "\n" + name
    at = text.find(needle)
    while at >= 0:
        end = text.find("\n", at + 1)
        end = len(text) if end < 0 else end
        line = text[at + len(needle) : end]
        labels, brace, rest = line.rpartition("}")
        value = _number(rest)
        # A longer name that begins alike goes on with a letter here.
        if value is not None and line[0] in "{ \t" and bool(brace) == line.startswith("{"):
            yield labels[1:], value
        at = text.find(needle, end)


def _number(text: str) -> float | None:
    """The value at the start of ``text`` (a timestamp may follow), if it is a finite one that can count something."""
    fields = text.split(None, 1)
    try:
        value = float(fields[0]) if fields else math.nan
    except ValueError:
        return None
    return value if 0.0 <= value < math.inf else None
