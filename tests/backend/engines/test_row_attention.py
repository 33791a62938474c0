from __future__ import annotations

from typing import Any

import pytest

from backend.engines.row_attention import _attention

pytestmark = pytest.mark.torch


class Layer:
    """What attention functions ask of a layer."""

    num_key_value_groups = 1
    is_causal = True


def made(rows: int, heads: int, keys: int, length: int) -> tuple[Any, Any, Any, Any]:
    import torch

    source = torch.Generator().manual_seed(3)
    query = torch.randn(rows, heads, 1, 16, generator=source)
    key, value = (torch.randn(rows, keys, length, 16, generator=source) for _ in range(2))
    lengths = torch.arange(rows) * 5 % length + 1
    mask = torch.where(torch.arange(length) < lengths[:, None], 0.0, torch.finfo(torch.float32).min)[:, None, None]
    return query, key, value, mask


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 2), (4, 1)])
def test_it_is_torchs_attention(heads: int, keys: int) -> None:
    import torch

    query, key, value, mask = made(3, heads, keys, 64)
    ours, _ = _attention(Layer(), query, key, value, mask, scaling=0.3)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.3, enable_gqa=heads != keys
    )
    torch.testing.assert_close(ours, theirs.transpose(1, 2))


def test_a_row_has_the_same_bits_in_any_company_and_with_any_room() -> None:
    import torch

    query, key, value, mask = made(8, 2, 2, 128)
    together, _ = _attention(Layer(), query, key, value, mask)
    for row in range(8):
        one = slice(row, row + 1)
        alone, _ = _attention(Layer(), query[one], key[one, :, :64], value[one, :, :64], mask[one, ..., :64])
        assert torch.equal(alone, together[one])


def test_prompts_take_the_fused_kernel() -> None:
    import torch

    query = torch.randn(1, 2, 5, 16)
    ours, _ = _attention(Layer(), query, query, query, torch.zeros(1, 1, 5, 5), scaling=None)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    torch.testing.assert_close(ours, theirs.transpose(1, 2))
