from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.storyteller.batches import documents
from backend.storyteller.tokenizer import END, build

if TYPE_CHECKING:
    from tokenizers import Tokenizer

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build((turn.text for turns in itertools.islice(documents(5), 300) for turn in turns), 700)


def test_it_has_the_size_asked_for_and_an_end(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 700
    assert tokenizer.token_to_id(END) == 0


@given(text=st.text())
def test_any_text_comes_back_byte_for_byte(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_frequent_words_are_one_token(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode(" once upon").ids) <= 4


def test_the_same_texts_give_the_same_tokenizer() -> None:
    texts = ["once upon a time there was a fox " * 30] * 3
    assert build(texts, 300).to_str() == build(texts, 300).to_str()
