from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.detokenize import PENDING_MAX, UNFINISHED, Detokenizer


class Bytes:
    """A tokenizer whose tokens are bytes: the hardest case, since every character beyond ASCII is several tokens."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return bytes(ids).decode("utf-8", "replace")


class Words:
    """A tokenizer that puts a space before every word but the first, as SentencePiece decoders do."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return " ".join("w" * id for id in ids)


def run(tokenizer: Any, prompt: list[int], tokens: list[int]) -> tuple[str, list[int], list[str]]:
    """Text, ids and pieces of an answer."""
    detokenizer = Detokenizer(tokenizer, prompt)
    ids: list[int] = []
    pieces: list[str] = []
    for token in tokens:
        given = detokenizer.feed(token)
        if given is not None:
            pieces.append(given[0])
            ids += given[1]
    return "".join(pieces), ids + list(detokenizer.flush()), pieces


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_whole_characters_only_and_all_of_them(prompt: str, answer: str) -> None:
    text, ids, pieces = run(Bytes(), list(prompt.encode()) or [65], list(answer.encode()))
    assert text == answer
    assert ids == list(answer.encode())
    assert not any(UNFINISHED in piece for piece in pieces) or UNFINISHED in answer


@given(st.lists(st.integers(0, 255), max_size=60))
def test_any_bytes_lose_no_token_and_hold_no_more_than_a_character_may_need(tokens: list[int]) -> None:
    detokenizer, waiting = Detokenizer(Bytes(), [65]), 0
    ids: list[int] = []
    for token in tokens:
        given = detokenizer.feed(token)
        ids += given[1] if given is not None else ()
        waiting = len(ids)
    assert len(tokens) - waiting < PENDING_MAX
    assert ids + list(detokenizer.flush()) == tokens


def test_half_a_character_at_the_end_is_no_text() -> None:
    text, ids, _ = run(Bytes(), [65], list("ab€".encode())[:-1])
    assert (text, len(ids)) == ("ab", 4)


def test_bytes_that_never_become_a_character_do_not_stop_the_stream() -> None:
    text, _, _ = run(Bytes(), [65], [0xFF] * 20 + list(b"ok"))
    assert text.endswith("ok")


def test_a_space_that_depends_on_the_token_before_is_kept() -> None:
    text, _, pieces = run(Words(), [3], [1, 2])
    assert text == " w ww"
    assert pieces == [" w", " ww"]


@pytest.mark.torch
def test_a_real_tokenizers_text_is_the_same_in_pieces() -> None:
    from tests.backend.engines.tiny import make_tokenizer

    tokenizer = make_tokenizer()
    answer = "tell me: naïve café, 東京, 👩‍👩‍👧 — done"
    text, ids, _ = run(tokenizer, tokenizer.encode("one"), tokenizer.encode(answer))
    assert text == answer
    assert ids == tokenizer.encode(answer)
