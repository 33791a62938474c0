from __future__ import annotations

from typing import Any

import pytest

from backend.engines.slot_cache import FIRST_CAPACITY, LENGTH_STEP, Placement, SlotCache, round_up

pytestmark = pytest.mark.torch


def states(rows: int, tokens: int, value: float) -> Any:
    import torch

    return torch.full((rows, 2, tokens, 4), value)


def test_a_prompt_is_written_in_runs_and_read_whole() -> None:
    cache = SlotCache(1, 1, 256)
    cache.placement = Placement(64, begin=0)
    cache.layers[0].update(states(1, 3, 1.0), states(1, 3, 1.0))
    cache.placement = Placement(64, begin=3)
    keys, values = cache.layers[0].update(states(1, 2, 2.0), states(1, 2, 3.0))
    assert keys.shape == (1, 2, 64, 4)
    assert keys[0, 0, :6, 0].tolist() == [1, 1, 1, 2, 2, 0]
    assert values[0, 1, :6, 3].tolist() == [1, 1, 1, 3, 3, 0]


def test_one_token_a_row_goes_to_each_rows_own_place() -> None:
    import torch

    cache = SlotCache(4, 1, 256)
    cache.placement = Placement(64, rows=torch.arange(2), positions=torch.tensor([1, 3]))
    keys, _ = cache.layers[0].update(states(2, 1, 5.0), states(2, 1, 5.0))
    assert keys[:, 0, :5, 0].tolist() == [[0, 5, 0, 0, 0], [0, 0, 0, 5, 0]]


def test_many_tokens_of_one_sequence_each_read_all_of_it() -> None:
    import torch

    cache = SlotCache(1, 1, 256)
    at = torch.tensor([2, 3, 4])
    cache.placement = Placement(64, rows=torch.zeros_like(at), positions=at, shared=True)
    keys, values = cache.layers[0].update(states(3, 1, 5.0), states(3, 1, 6.0))
    assert keys.shape == values.shape == (3, 2, 64, 4)
    assert keys[:, 0, :6, 0].tolist() == [[0, 0, 5, 5, 5, 0]] * 3
    assert keys.is_contiguous()


def test_growing_keeps_what_is_there_and_stops_at_the_context() -> None:
    cache = SlotCache(1, 1, 600)
    cache.placement = Placement(64, begin=0)
    cache.layers[0].update(states(1, 2, 1.0), states(1, 2, 1.0))
    assert cache.capacity == FIRST_CAPACITY
    cache.reserve(FIRST_CAPACITY + 1)
    assert cache.capacity == 2 * FIRST_CAPACITY
    cache.reserve(600)
    assert cache.capacity == round_up(600)
    keys, _ = cache.layers[0].update(states(1, 1, 1.0), states(1, 1, 1.0))
    assert keys[0, 0, :3, 0].tolist() == [1, 1, 0]


def test_a_row_is_copied_from_another_cache() -> None:
    one, many = SlotCache(1, 1, 256), SlotCache(4, 1, 256)
    one.placement = Placement(64, begin=0)
    one.layers[0].update(states(1, 3, 7.0), states(1, 3, 8.0))
    many.copy_row(one, 0, 2, 3)
    keys, values = many.layers[0].keys, many.layers[0].values
    assert keys is not None
    assert values is not None
    assert keys[2, 0, :4, 0].tolist() == [7, 7, 7, 0]
    assert values[2, 1, :4, 0].tolist() == [8, 8, 8, 0]
    assert not keys[:2].any()


def test_lengths_are_rounded_up() -> None:
    assert [round_up(n) for n in (1, LENGTH_STEP, LENGTH_STEP + 1)] == [LENGTH_STEP, LENGTH_STEP, 2 * LENGTH_STEP]
