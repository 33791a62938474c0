"""Loads a causal language model and what belongs to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from backend.errors import EngineUnavailable

HUB_S: Final = 10.0
FALLBACK_MAX_LEN: Final = 2048
"""Context of a model whose configuration names none."""
SAMPLING_NAMES: Final = ("temperature", "top_p", "top_k", "repetition_penalty")
_LENGTH_NAMES: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    model: Any
    tokenizer: Any
    max_model_len: int
    eos_ids: frozenset[int]
    sampling_defaults: dict[str, Any]
    """What the model's `generation_config.json` says of `SAMPLING_NAMES`."""


def load_model(source: str, device: str, threads: int | None) -> LoadedModel:
    """Load from a local path or by Hugging Face name. Takes seconds. Raises `EngineUnavailable`."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as transformers_logging
    except ModuleNotFoundError as error:
        message = f"a model needs {error.name}, which is not installed: pip install '.[engine]' in a checkout"
        raise EngineUnavailable(message) from None
    quiet: Any = transformers_logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = _device(device)
    if source.startswith(("/", ".", "~")) and not Path(source).exists():
        raise EngineUnavailable(f"no such directory: {source}")
    try:
        dtype = torch.float32 if chosen == "cpu" else "auto"
        local = _is_local(source)
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, local_files_only=local)
        model = model.to(chosen).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EngineUnavailable(f"can't load a model from {source}: {_first_line(error)}") from None
    if chosen == "cpu" and model.config._attn_implementation == "sdpa":
        from backend.engines.row_attention import use_row_attention

        use_row_attention(model)
    max_len, eos_ids = _max_len(model, tokenizer), _eos_ids(model, tokenizer)
    return LoadedModel(model, tokenizer, max_len, eos_ids, _sampling_defaults(model))


def default_threads() -> int:
    """Half of the cores this process may use: more than one backend on a machine is the rule here, and helpers that
    spin on cores which others use make a step 100 times slower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def _device(device: str) -> str:
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available[device]:
        raise EngineUnavailable(f"there is no {device} device on this machine; try --device auto")
    return device


def _is_local(source: str) -> bool:
    """Whether to load without the network. Asked once and quickly: transformers alone tries for a minute.

    Raises `EngineUnavailable` if the model is neither here nor to be had.
    """
    if Path(source).exists():
        return True
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(source, timeout=HUB_S)
    except Exception as error:  # of several libraries, by version
        if _is_cached(source):
            return True
        raise EngineUnavailable(
            f"can't load the model {source!r}: there is no such directory, and huggingface.co could not give it "
            f"({_first_line(error)}). The built-in model needs no network: --model storyteller"
        ) from None
    return False


def _is_cached(source: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(source, "config.json"), str)
    except ValueError:
        return False  # no name that a hub could have


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _max_len(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    lengths = [getattr(config, name, None) for name in _LENGTH_NAMES]
    known = [length for length in lengths if isinstance(length, int) and length > 0]
    if not known and 0 < tokenizer.model_max_length < 1e9:
        known = [int(tokenizer.model_max_length)]
    return known[0] if known else FALLBACK_MAX_LEN


def _sampling_defaults(model: Any) -> dict[str, Any]:
    """Only what the model's author wrote down, not what transformers would assume."""
    written = model.generation_config.to_diff_dict()
    return {name: written[name] for name in SAMPLING_NAMES if written.get(name) is not None}


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(id for id in (*ids, tokenizer.eos_token_id) if id is not None)
