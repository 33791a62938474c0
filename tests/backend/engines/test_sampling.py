from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from backend.engines.base import Sampling
from backend.engines.sampling import CANDIDATES, Sampler, sample

pytestmark = pytest.mark.torch


def logits(*rows: list[float]) -> Any:
    import torch

    return torch.tensor(rows)


def random_logits(rows: int, vocabulary: int, seed: int = 1) -> Any:
    import torch

    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * 3


def sampler(prompt: tuple[int, ...] = (0,), **fields: Any) -> Sampler:
    return Sampler(Sampling(**fields), prompt)


def draws(row: list[float], count: int, **fields: Any) -> Counter[int]:
    samplers = [sampler(seed=seed, **fields) for seed in range(count)]
    return Counter(sample(logits(*[row] * count), samplers))


def test_temperature_0_takes_the_most_likely() -> None:
    assert sample(logits([0.0, 2.0, 1.0], [3.0, 2.0, 1.0]), [sampler(temperature=0.0)] * 2) == [1, 0]


def test_draws_follow_the_distribution() -> None:
    counted = draws([0.0, 1.0, 2.0], 3000)
    for token, share in enumerate((0.09, 0.245, 0.665)):
        assert abs(counted[token] / 3000 - share) < 0.03


def test_whoever_goes_on_draws_what_would_have_been_drawn() -> None:
    ways: tuple[dict[str, Any], ...] = (
        {"seed": 5},
        {"seed": 5, "top_p": 0.8, "presence_penalty": 1.0, "repetition_penalty": 1.3},
    )
    for fields in ways:
        one = sampler(**fields)
        drawn = [sample(random_logits(1, 50, n), [one])[0] for n in range(8)]
        for cut in range(9):
            other = Sampler(Sampling(**fields), (0,), drawn[:cut])
            assert other.last_token == ([0, *drawn])[cut]
            assert [sample(random_logits(1, 50, n), [other])[0] for n in range(cut, 8)] == drawn[cut:]


def test_a_low_temperature_sharpens_and_a_high_one_flattens() -> None:
    assert draws([0.0, 1.0], 500, temperature=0.1)[1] > 490
    assert draws([0.0, 1.0], 500, temperature=2.0)[0] > 150


def test_top_k_draws_from_no_more_than_k() -> None:
    assert set(draws([0.0, 1.0, 0.9, 0.8], 300, top_k=2)) == {1, 2}
    assert set(draws([0.0, 1.0, 0.9, 0.8], 300, top_k=99)) == {0, 1, 2, 3}


def test_top_p_draws_from_the_fewest_whose_mass_reaches_p() -> None:
    assert set(draws([5.0, 4.9, 0.0, 0.0], 300, top_p=0.6)) == {0, 1}
    assert set(draws([5.0, 1.0, 0.0], 300, top_p=0.01)) == {0}


def test_top_p_is_of_what_top_k_left() -> None:
    assert set(draws([1.0, 1.0, 1.0, 1.0, 1.0], 300, top_k=2, top_p=0.4)) != {0, 1, 2, 3, 4}
    assert len(draws([1.0, 1.0, 1.0, 1.0, 1.0], 300, top_k=2, top_p=0.4)) == 1


def test_a_nucleus_wider_than_the_candidates_is_still_whole() -> None:
    vocabulary = 4 * CANDIDATES
    flat = [0.0] * vocabulary
    assert len(draws(flat, 2000, top_p=0.9)) > 2 * CANDIDATES
    assert len(draws(flat, 2000, top_k=2 * CANDIDATES)) > CANDIDATES


def test_a_seed_draws_the_same_whatever_the_neighbours() -> None:
    ways: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {},
        {"temperature": 0.7},
        {"top_p": 0.9},
        {"top_p": 0.9999, "temperature": 2.0},
        {"top_k": 5},
        {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.2},
        {"top_p": 0.5, "top_k": 300},
    ]
    rows = random_logits(len(ways), 600)

    def fresh() -> list[Sampler]:
        return [sampler(seed=n, **way) for n, way in enumerate(ways)]

    together = fresh()
    first, second = (sample(rows.clone(), together) for _ in range(2))
    for n, alone in enumerate(fresh()):
        assert [sample(rows[n : n + 1].clone(), [alone])[0] for _ in range(2)] == [first[n], second[n]]
    backwards = fresh()[::-1]
    assert sample(rows.flip(0).clone(), backwards) == first[::-1]


def test_without_a_seed_draws_differ() -> None:
    rows = logits(*[[0.0] * 1000] * 8)
    assert len(set(sample(rows, [sampler() for _ in range(8)]))) > 1


def test_presence_and_frequency_penalties_count_what_was_made_and_not_the_prompt() -> None:
    one = sampler(prompt=(0,), temperature=0.0, presence_penalty=1.5)
    assert sample(logits([2.0, 1.0]), [one]) == [0]
    assert sample(logits([2.0, 1.0]), [one]) == [1]
    often = sampler(temperature=0.0, frequency_penalty=0.6)
    assert [sample(logits([2.0, 1.0]), [often])[0] for _ in range(3)] == [0, 0, 1]


def test_the_repetition_penalty_counts_the_prompt_too_and_weakens_either_sign() -> None:
    assert sample(logits([2.0, 1.5]), [sampler(prompt=(0,), temperature=0.0, repetition_penalty=2.0)]) == [1]
    assert sample(logits([-1.0, -1.5]), [sampler(prompt=(0,), temperature=0.0, repetition_penalty=2.0)]) == [1]


def test_what_has_no_probability_is_never_drawn() -> None:
    low = float("-inf")
    assert set(draws([low, 0.0, low, 0.0, low], 500)) == {1, 3}
