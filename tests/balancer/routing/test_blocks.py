from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.routing.blocks import BLOCK_CHARS, BLOCKS_MAX, block_hashes, prompt_blocks


def shared(one: list[int], other: list[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@given(st.text(max_size=4 * BLOCK_CHARS), st.text(max_size=3 * BLOCK_CHARS), st.text(max_size=3 * BLOCK_CHARS))
def test_texts_share_as_many_hashes_as_they_share_whole_blocks(begin: str, one: str, other: str) -> None:
    texts = begin + one, begin + other
    same = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    assert shared(block_hashes(texts[0]), block_hashes(texts[1])) == same // BLOCK_CHARS


def test_the_same_block_after_another_beginning_is_another() -> None:
    one, other = block_hashes("a" * 2 * BLOCK_CHARS), block_hashes("b" * BLOCK_CHARS + "a" * BLOCK_CHARS)
    assert not set(one) & set(other)
    assert one[0] != one[1]


def test_only_whole_blocks_count_and_not_without_end() -> None:
    assert block_hashes("a" * (BLOCK_CHARS - 1)) == []
    assert len(block_hashes("a" * (BLOCKS_MAX + 2) * BLOCK_CHARS)) == BLOCKS_MAX


def test_a_chat_that_grows_keeps_its_beginning() -> None:
    turns: list[dict[str, Any]] = [{"role": "system", "content": "be brief " * 100}]
    before = prompt_blocks({"messages": turns})
    turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and now? " * 100}]
    after = prompt_blocks({"messages": turns, "temperature": 0})
    assert len(before) >= 3
    assert after[: len(before)] == before and len(after) > len(before)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x" * 600},
        {"input": "x" * 600},
        {"prompt": ["x" * 600]},
        {"input": [{"type": "input_text", "text": "x" * 600}]},
    ],
)
def test_prompts_of_all_forms_are_read(body: dict[str, Any]) -> None:
    assert prompt_blocks(body) == block_hashes("x" * 600)


def test_parts_that_are_no_text_are_passed_over() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:..."}}
    content = [{"type": "text", "text": "x" * 600}, picture]
    with_picture = prompt_blocks({"messages": [{"role": "user", "content": content}]})
    assert with_picture == prompt_blocks({"messages": [{"role": "user", "content": "x" * 600}]})


@pytest.mark.parametrize(
    "body", [{}, {"messages": []}, {"messages": [7, {"role": None}]}, {"prompt": 3}, {"input": [1, 2]}]
)
def test_what_makes_no_sense_has_no_blocks(body: dict[str, Any]) -> None:
    assert prompt_blocks(body) == []
