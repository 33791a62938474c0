"""The network of `balancer.cache.network` in torch, and its training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from balancer.cache.network import Network
from balancer.cache.reading import TOKENS_MAX, make_reading
from scripts.train_verdict_parts.embedded import Embedded

WIDTH: Final = 128
SOUGHT: Final = 64
COMPARED: Final = 96
WHOLE: Final = 64
MIXED: Final = 64
DROPOUT: Final = 0.3
RATE: Final = 1e-3
DECAY: Final = 0.05
BATCH: Final = 64
_WARM_UP_STEPS: Final = 300
_AVERAGED: Final = 0.998
_SORTED_TOGETHER: Final = 2048
_FIRST_SHARPNESS: Final = 4.0


class Example(NamedTuple):
    """One labelled pair with the features of its words."""

    a: str
    b: str
    duplicate: int
    features: NDArray[np.float32]


def make_network(width: int, dimension: int, features: int) -> Any:
    """The untrained network: names and shapes as `balancer.cache.network` reads them."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.P, self.A = nn.Linear(width, WIDTH), nn.Linear(WIDTH, SOUGHT)
            self.t = nn.Parameter(torch.tensor(_FIRST_SHARPNESS))
            self.C, self.S = nn.Linear(3 * WIDTH, COMPARED), nn.Linear(2 * dimension, WHOLE)
            self.M, self.O = nn.Linear(4 * COMPARED + WHOLE + 1 + features, MIXED), nn.Linear(MIXED, 1)
            self.drop = nn.Dropout(DROPOUT)

        def side(self, p: Any, q: Any, match: Any, p_mask: Any, q_mask: Any) -> tuple[Any, Any]:
            found = torch.softmax(match.masked_fill(~q_mask[:, None, :], -1e4), -1) @ q
            both = self.drop(torch.cat([p, p * found, (p - found) ** 2], -1))
            compared = torch.relu(self.C(both)) * p_mask[..., None].float()
            return compared.sum(1) / p_mask.float().sum(1, keepdim=True).sqrt(), compared.amax(1)

        def forward(self, one: Any, other: Any, words: Any) -> Any:
            (a, a_mask, u), (b, b_mask, v) = one, other
            p, q = self.P(a), self.P(b)
            left, right = functional.normalize(self.A(p), dim=-1), functional.normalize(self.A(q), dim=-1)
            match = (left @ right.transpose(1, 2)) * self.t.exp().clamp(max=60) * 0.2
            sum_p, most_p = self.side(p, q, match, a_mask, b_mask)
            sum_q, most_q = self.side(q, p, match.transpose(1, 2), b_mask, a_mask)
            whole = torch.relu(self.S(torch.cat([u * v * 20, (u - v).abs() * 5], -1)))
            cosine = (u * v).sum(-1, keepdim=True)
            parts = [sum_p + sum_q, (sum_p - sum_q).abs(), most_p + most_q, (most_p - most_q).abs(), whole, cosine]
            mixed = self.drop(torch.relu(self.M(self.drop(torch.cat([*parts, words], -1)))))
            return self.O(mixed).squeeze(-1)

    return Net()


def fit(examples: Sequence[Example], embedded: Embedded, epochs: int, seed: int) -> Any:
    """Train, and return the moving average of the weights on the way."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = make_network(embedded.width, embedded.dimension, len(examples[0].features))
    averaged = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    steps = max(1, epochs * len(examples) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, step / _WARM_UP_STEPS) * max(0.02, 1 - step / steps)
    )
    done = 0
    for epoch in range(epochs):
        losses = []
        for batch in _batches(examples, rng):
            labels = torch.tensor([float(one.duplicate) for one in batch])
            loss: Any = torch.nn.functional.binary_cross_entropy_with_logits(net(*_inputs(batch, embedded)), labels)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            share = 1 - min(_AVERAGED, done / (done + 10))
            for kept, now in zip(averaged.parameters(), net.parameters(), strict=True):
                kept.data.lerp_(now.data, share)
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}", flush=True)
    return averaged


def logits(
    weights: dict[str, NDArray[np.float16]], examples: Sequence[Example], embedded: Embedded
) -> NDArray[np.float64]:
    """The scores as a balancer computes them: stored weights, and readings in bytes."""
    network = Network({name.removeprefix("net."): array for name, array in weights.items()})
    texts = dict.fromkeys(text for one in examples for text in (one.a, one.b))
    readings = {
        text: make_reading(text, embedded.vector(text), network.project(np.asarray(embedded.tokens(text))))
        for text in texts
    }
    return np.array([network.logit(readings[one.a], readings[one.b], one.features) for one in examples])


def weights_of(net: Any) -> dict[str, NDArray[np.float16]]:
    """As they are stored."""
    return {f"net.{name}": tensor.detach().numpy().astype(np.float16) for name, tensor in net.state_dict().items()}


def _batches(examples: Sequence[Example], rng: np.random.Generator) -> Any:
    """In random order, texts of about equal length together."""
    order = rng.permutation(len(examples))
    for start in range(0, len(order), _SORTED_TOGETHER):
        rows = order[start : start + _SORTED_TOGETHER]
        part = sorted(rows.tolist(), key=lambda at: len(examples[at].a) + len(examples[at].b))
        batches = [part[at : at + BATCH] for at in range(0, len(part), BATCH)]
        for chosen in rng.permutation(len(batches)):
            yield [examples[at] for at in batches[chosen]]


def _inputs(batch: Sequence[Example], embedded: Embedded) -> tuple[Any, Any, Any]:
    import torch

    words = torch.from_numpy(np.stack([one.features for one in batch]))
    return _side([one.a for one in batch], embedded), _side([one.b for one in batch], embedded), words


def _side(texts: list[str], embedded: Embedded) -> tuple[Any, Any, Any]:
    import torch

    tokens = [embedded.tokens(text)[:TOKENS_MAX] for text in texts]
    longest, layers = max(map(len, tokens)), embedded.width // embedded.dimension
    numbers = np.zeros((len(texts), longest, embedded.width), np.float32)
    mask = np.zeros((len(texts), longest), bool)
    for row, one in enumerate(tokens):
        numbers[row, : len(one)], mask[row, : len(one)] = one, True
    split = numbers.reshape(len(texts), longest, layers, embedded.dimension)
    split *= 4 / (np.sqrt(np.vecdot(split, split))[..., None] + 1e-6)
    vectors = np.stack([embedded.vector(text) for text in texts])
    return torch.from_numpy(numbers), torch.from_numpy(mask), torch.from_numpy(vectors)
