"""Many stories at once, each from a seed of its own: sampling with temperature and nucleus (top-p) on a causal model.

Rows are padded on the left; a row's draws come from its own generator, so a seed's story hardly depends on the rows
beside it (only through rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A continuation, its tokens (the end token counted), and whether it ended by itself."""

    text: str
    tokens: int
    ended: bool


def sample(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    temperature: float,
    top_p: float,
    max_tokens: int,
) -> list[Sample]:
    """Continue each prompt with its seed, at most `max_tokens` tokens each, in one batch on the model's device."""
    import torch

    encoded = [tokenizer.encode(text, add_special_tokens=False) for text in prompts]
    width = max(len(ids) for ids in encoded)
    end = int(tokenizer.eos_token_id)
    device = model.device
    rows = torch.tensor([[end] * (width - len(ids)) + ids for ids in encoded], device=device)
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in encoded], device=device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    written: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    cache = None
    with torch.inference_mode():
        for _ in range(max_tokens):
            answer = model(
                input_ids=rows, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )
            cache = answer.past_key_values
            chances = _nucleus(answer.logits[:, -1].float().cpu(), temperature, top_p)
            chosen = [
                int(torch.multinomial(row, 1, generator=generator))
                for row, generator in zip(chances, generators, strict=True)
            ]
            for row, token in enumerate(chosen):
                if not ended[row]:
                    written[row].append(token)
                    ended[row] = token == end
            if all(ended):
                break
            rows = torch.tensor(chosen, device=device)[:, None]
            mask = torch.cat([mask, torch.ones_like(rows)], dim=1)
            positions = positions[:, -1:] + 1
    return [
        Sample(tokenizer.decode([token for token in ids if token != end]), len(ids), done)
        for ids, done in zip(written, ended, strict=True)
    ]


def _nucleus(logits: Any, temperature: float, top_p: float) -> Any:
    """Probabilities of the smallest set of tokens that holds `top_p` of the mass; the others are 0."""
    import torch

    chances = torch.softmax(logits / temperature, dim=-1)
    ordered, order = chances.sort(dim=-1, descending=True)
    outside = ordered.cumsum(dim=-1) - ordered >= top_p
    ordered = ordered.masked_fill(outside, 0.0)
    return torch.zeros_like(chances).scatter(-1, order, ordered)
