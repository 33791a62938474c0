from __future__ import annotations

from typing import Any

import pytest

from backend.storyteller.sampling import sample

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


class Letters:
    """A tokenizer of letters: "a" is 1, "b" 2, ...; 0 ends."""

    eos_token_id = 0

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [ord(letter) - 96 for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(token + 96) for token in ids)


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=9, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).train(False)


def test_the_same_seed_gives_the_same_text_alone_or_in_company(model: Any) -> None:
    alone = sample(model, Letters(), ["abc"], [7], temperature=1.0, top_p=1.0, max_tokens=20)
    beside = sample(model, Letters(), ["abcdefgh", "abc"], [1, 7], temperature=1.0, top_p=1.0, max_tokens=20)
    assert beside[1] == alone[0]


def test_a_sample_ends_at_the_limit_or_by_itself(model: Any) -> None:
    made = sample(model, Letters(), ["ab"] * 30, list(range(30)), temperature=1.0, top_p=1.0, max_tokens=12)
    assert {one.ended for one in made} == {True, False}
    for one in made:
        assert one.tokens <= 12
        assert len(one.text) == one.tokens - one.ended


def test_a_narrow_nucleus_is_greedy(model: Any) -> None:
    made = sample(model, Letters(), ["ab"] * 5, list(range(5)), temperature=1.0, top_p=1e-6, max_tokens=6)
    assert len({one.text for one in made}) == 1
