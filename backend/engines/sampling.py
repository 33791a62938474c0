"""The next token of each sequence, drawn from its own random numbers.

A sequence's draw depends on its own logits, its own seed and how many tokens it has drawn, never on its neighbours:
one uniform number a token, looked up in the cumulative distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from backend.engines.base import Sampling

if TYPE_CHECKING:
    import torch

CANDIDATES: Final = 256
"""The nucleus is first looked for among this many most likely tokens: sorting a whole vocabulary costs 20 times it."""


class Sampler:
    """One sequence's way of drawing, and what it has drawn. Without a seed the numbers come from the system."""

    __slots__ = ("_made", "_prompt_ids", "_random", "last_token", "sampling", "temperature", "top_k", "top_p")

    def __init__(self, sampling: Sampling, prompt_ids: Sequence[int], so_far_ids: Sequence[int] = ()) -> None:
        """``so_far_ids`` were drawn before, elsewhere, with the same seed."""
        self.sampling = sampling
        self.temperature = 1.0 if sampling.temperature is None else sampling.temperature
        self.top_p = 1.0 if sampling.top_p is None else sampling.top_p
        self.top_k = sampling.top_k or 0
        self.last_token = prompt_ids[-1]
        self._random = Random(sampling.seed)
        self._prompt_ids = tuple(set(prompt_ids)) if self._repetition_penalty != 1.0 else ()
        self._made: Counter[int] = Counter()
        for token_id in so_far_ids:
            self._random.random()
            self.drew(token_id)

    @property
    def _repetition_penalty(self) -> float:
        return 1.0 if self.sampling.repetition_penalty is None else self.sampling.repetition_penalty

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def cuts(self) -> bool:
        """Whether only the most likely tokens may be drawn."""
        return self.top_k > 0 or self.top_p < 1.0

    @property
    def penalises(self) -> bool:
        sampling = self.sampling
        return bool(self._repetition_penalty != 1.0 or sampling.presence_penalty or sampling.frequency_penalty)

    def uniform(self) -> float:
        """The number that decides this token."""
        return self._random.random()

    def drew(self, token_id: int) -> None:
        self.last_token = token_id
        if self.penalises:
            self._made[token_id] += 1

    def penalise(self, logits: torch.Tensor) -> None:
        """Change one row of logits (vocabulary) in place: OpenAI's presence and frequency penalties over what was
        made, the repetition penalty of CTRL (arXiv 1909.05858) over prompt and answer."""
        import torch

        if self._repetition_penalty != 1.0 and (self._prompt_ids or self._made):
            ids = torch.tensor([*{*self._prompt_ids, *self._made}], device=logits.device)
            old = logits[ids]
            logits[ids] = torch.where(old > 0, old / self._repetition_penalty, old * self._repetition_penalty)
        if self._made:
            ids = torch.tensor([*self._made], device=logits.device)
            counts = torch.tensor([*self._made.values()], device=logits.device, dtype=logits.dtype)
            logits[ids] -= self.sampling.presence_penalty + self.sampling.frequency_penalty * counts


def sample(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """One token id per row of ``logits`` (rows, vocabulary), which may be changed."""
    for row, sampler in enumerate(samplers):
        if sampler.penalises:
            sampler.penalise(logits[row])
    tokens = [0] * len(samplers)
    greedy = [row for row, sampler in enumerate(samplers) if sampler.is_greedy]
    whole = [row for row, sampler in enumerate(samplers) if not sampler.is_greedy and not sampler.cuts]
    cut = [row for row, sampler in enumerate(samplers) if not sampler.is_greedy and sampler.cuts]
    if greedy:
        _place(tokens, greedy, _rows(logits, greedy).argmax(-1).tolist())
    if whole:
        _place(tokens, whole, _draw(_rows(logits, whole), [samplers[row] for row in whole]))
    if cut:
        _place(tokens, cut, _draw_cut(_rows(logits, cut), [samplers[row] for row in cut]))
    for token, sampler in zip(tokens, samplers, strict=True):
        sampler.drew(token)
    return tokens


def _rows(logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
    return logits if len(rows) == logits.shape[0] else logits[rows]


def _place(tokens: list[int], rows: list[int], drawn: list[int]) -> None:
    for row, token in zip(rows, drawn, strict=True):
        tokens[row] = token


def _draw(logits: torch.Tensor, samplers: list[Sampler]) -> list[int]:
    """Over the whole vocabulary, in the order of token ids."""
    return _inverse(_probabilities(logits, samplers), samplers).tolist()


def _draw_cut(logits: torch.Tensor, samplers: list[Sampler]) -> list[int]:
    """Among the `top_k` most likely, and of these the nucleus of `top_p` (arXiv 1904.09751)."""
    vocabulary = logits.shape[-1]
    width = min(CANDIDATES, vocabulary)
    probabilities = _probabilities(logits, samplers)
    kept, ids = probabilities.topk(width)
    mass = kept.sum(-1).tolist()
    tokens = [0] * len(samplers)
    near = [i for i, s in enumerate(samplers) if 0 < s.top_k <= width or (not s.top_k and mass[i] >= s.top_p)]
    far = [i for i in range(len(samplers)) if i not in near]
    if near:
        _place(tokens, near, _draw_kept(_rows(kept, near), _rows(ids, near), [samplers[i] for i in near]))
    if far:
        kept, ids = _rows(probabilities, far).sort(descending=True, stable=True)
        _place(tokens, far, _draw_kept(kept, ids, [samplers[i] for i in far]))
    return tokens


def _draw_kept(kept: torch.Tensor, ids: torch.Tensor, samplers: list[Sampler]) -> list[int]:
    """``kept``: the most likely tokens' probabilities, descending; ``ids``: which tokens these are."""
    import torch

    width = kept.shape[-1]
    top_k = torch.tensor([[sampler.top_k or width] for sampler in samplers], device=kept.device)
    top_p = torch.tensor([[sampler.top_p] for sampler in samplers], device=kept.device)
    kept = kept.masked_fill(torch.arange(width, device=kept.device) >= top_k, 0.0)
    whole = torch.tensor([[not sampler.top_k] for sampler in samplers], device=kept.device)
    top_p = top_p * torch.where(whole, 1.0, kept.sum(-1, keepdim=True))
    kept = kept.masked_fill(kept.cumsum(-1) - kept >= top_p, 0.0)
    return ids.gather(-1, _inverse(kept, samplers)[:, None])[:, 0].tolist()


def _probabilities(logits: torch.Tensor, samplers: list[Sampler]) -> torch.Tensor:
    import torch

    temperature = torch.tensor([[sampler.temperature] for sampler in samplers], device=logits.device)
    return (logits.float() / temperature).softmax(-1)


def _inverse(probabilities: torch.Tensor, samplers: list[Sampler]) -> torch.Tensor:
    """Index per row at which the cumulative distribution passes the row's uniform number."""
    import torch

    cumulative = probabilities.cumsum(-1)
    uniform = torch.tensor([[sampler.uniform()] for sampler in samplers], device=probabilities.device)
    # Below the total even where the product rounds up to it: what lies behind the total has no probability.
    target = torch.minimum(uniform * cumulative[:, -1:], cumulative[:, -1:] * (1 - 1e-6))
    return (cumulative <= target).sum(-1).clamp_(max=probabilities.shape[-1] - 1)
