from __future__ import annotations

from typing import Any

import pytest

from backend.engines.base import ChatPrompt, Message, SoFar, TextPrompt, TokensPrompt
from backend.engines.prompts import PromptEncoder
from backend.errors import InvalidRequest, PromptTooLong


class Letters:
    """A tokenizer whose tokens are letters; `encode` remembers what it was given."""

    chat_template: str | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2

    def __init__(self) -> None:
        self.encoded: list[tuple[str, bool]] = []

    def get_vocab(self) -> dict[str, int]:
        return {"a": 0, "bb": 1}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        self.encoded.append((text, add_special_tokens))
        return [ord(letter) % 100 for letter in text]

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(chr(token if token > 90 else token + 100) for token in ids)

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        if any(message["role"] == "tool" for message in messages):
            raise ValueError("roles must alternate")
        asked = "+" if options["add_generation_prompt"] else "~" if options["continue_final_message"] else ""
        return "|".join(f"{m['role']}:{m['content']}" for m in messages) + asked


def encoder(tokenizer: Letters, context: int = 50) -> PromptEncoder:
    return PromptEncoder(tokenizer, context, vocabulary=100)


CHAT = (Message("user", "hi"), Message("assistant", "yo"))


def test_text_is_encoded_with_the_models_special_tokens() -> None:
    tokenizer = Letters()
    assert encoder(tokenizer).encode(TextPrompt("ab")) == (97, 98)
    assert tokenizer.encoded == [("ab", True)]


def test_a_conversation_without_template_is_its_contents_joined_by_blank_lines() -> None:
    tokenizer = Letters()
    encoder(tokenizer).encode(ChatPrompt(CHAT))
    assert tokenizer.encoded == [("hi\n\nyo", True)]


@pytest.mark.parametrize(
    ("prompt", "rendered"),
    [
        (ChatPrompt(CHAT), "user:hi|assistant:yo+"),
        (ChatPrompt(CHAT, continue_final=True), "user:hi|assistant:yo~"),
        (ChatPrompt(CHAT, add_generation_prompt=False), "user:hi|assistant:yo"),
    ],
)
def test_a_template_says_how_and_adds_its_own_special_tokens(prompt: ChatPrompt, rendered: str) -> None:
    tokenizer = Letters()
    tokenizer.chat_template = "template"
    encoder(tokenizer).encode(prompt)
    assert tokenizer.encoded == [(rendered, False)]


def test_what_a_template_refuses_is_the_clients_fault() -> None:
    tokenizer = Letters()
    tokenizer.chat_template = "template"
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        encoder(tokenizer).encode(ChatPrompt((Message("tool", "x"),)))


def test_token_ids_are_taken_as_they_are_if_the_model_has_them() -> None:
    assert encoder(Letters()).encode(TokensPrompt((0, 99))) == (0, 99)
    for wrong in (-1, 100):
        with pytest.raises(InvalidRequest, match="0 to 99"):
            encoder(Letters()).encode(TokensPrompt((wrong,)))


def test_an_answer_so_far_comes_behind_the_prompt_by_its_ids() -> None:
    tokenizer = Letters()
    prompt_ids, so_far, _ = encoder(tokenizer).encode_with_answer(TextPrompt("ab"), SoFar("cd", (99, 0)))
    assert (prompt_ids, so_far) == ((97, 98), SoFar("cd", (99, 0)))
    assert tokenizer.encoded == [("ab", True)]


@pytest.mark.parametrize("ids", [(), (99, 1), (99,)])
def test_without_ids_or_with_others_than_the_texts_it_is_the_text_that_counts(ids: tuple[int, ...]) -> None:
    tokenizer = Letters()
    _, so_far, detokenizer = encoder(tokenizer).encode_with_answer(TextPrompt("ab"), SoFar("cd", ids))
    assert so_far == SoFar("cd", (99, 0))
    assert tokenizer.encoded[-1] == ("cd", False)
    assert detokenizer.feed(1) == ("e", (1,))


def test_an_answer_so_far_must_be_of_the_models_tokens_and_leave_room_for_one_more() -> None:
    with pytest.raises(InvalidRequest, match="0 to 99") as refused:
        encoder(Letters()).encode_with_answer(TextPrompt("a"), SoFar("", (100,)))
    assert refused.value.param == "continue_from"
    assert encoder(Letters()).encode_with_answer(TextPrompt("a"), SoFar("c" * 48, (99,) * 48))
    for so_far in (SoFar("c" * 49, (99,) * 49), SoFar("c" * 49)):
        with pytest.raises(PromptTooLong, match=r"and the answer so far have 50 tokens.*is 50 tokens"):
            encoder(Letters()).encode_with_answer(TextPrompt("a"), so_far)


def test_an_empty_text_begins_with_the_models_first_token() -> None:
    tokenizer = Letters()
    assert encoder(tokenizer).encode(TextPrompt("")) == (1,)
    tokenizer.bos_token_id = tokenizer.eos_token_id = None
    with pytest.raises(InvalidRequest, match="no tokens"):
        encoder(tokenizer).encode(TextPrompt(""))


def test_a_prompt_must_leave_room_for_one_token() -> None:
    assert len(encoder(Letters()).encode(TextPrompt("a" * 49))) == 49
    with pytest.raises(PromptTooLong, match=r"50 tokens.*is 50 tokens"):
        encoder(Letters()).encode(TextPrompt("a" * 50))


def test_a_text_that_can_not_fit_is_not_even_encoded() -> None:
    tokenizer = Letters()
    with pytest.raises(PromptTooLong, match="more than 500"):
        encoder(tokenizer).encode(TextPrompt("a" * 1000))
    assert not tokenizer.encoded
