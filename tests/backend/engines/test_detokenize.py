from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.detokenize import HELD_MAX, PENDING_MAX, UNFINISHED, Detokenizer


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


@given(st.lists(st.integers(0, 255) | st.sampled_from([0xE2, 0x82, 0xAC, 0xF0, 0x9F]), max_size=60))
def test_text_so_far_is_always_that_of_the_ids_so_far_and_another_one_goes_on_from_there(tokens: list[int]) -> None:
    detokenizer, text = Detokenizer(Bytes(), [65]), ""
    ids: list[int] = []
    for token in tokens:
        given = detokenizer.feed(token)
        if given is None:
            continue
        text += given[0]
        ids += given[1]
        assert text == Bytes().decode(ids)
        other = Detokenizer(Bytes(), [65])
        assert other.resume(ids, text)
        rest = [g for token in tokens[len(ids) :] if (g := other.feed(token)) is not None]
        again = text + "".join(piece for piece, _ in rest)
        assert again == Bytes().decode(ids + [token for _, made in rest for token in made])


@given(st.text(max_size=20), st.integers(0, 80))
def test_within_a_character_it_goes_on_and_tells_only_the_ids_that_are_new(answer: str, cut: int) -> None:
    tokens = list(answer.encode())
    before, after = tokens[:cut], tokens[cut:]
    said = bytes(before).decode("utf-8", "ignore")
    detokenizer = Detokenizer(Bytes(), [65])
    assert detokenizer.resume(before, said)
    made = [given for token in after if (given := detokenizer.feed(token)) is not None]
    assert said + "".join(text for text, _ in made) == answer
    assert [token for _, ids in made for token in ids] == after


def test_ids_that_are_not_the_texts_are_found_out() -> None:
    assert not Detokenizer(Bytes(), [65]).resume(list(b"abd"), "abc")
    assert not Detokenizer(Bytes(), [65]).resume(list(b"ab"), "abc")
    assert not Detokenizer(Bytes(), [65]).resume([], "abc")
    assert Detokenizer(Bytes(), [65]).resume([], "")


def test_tokens_that_each_end_within_a_character_lose_none() -> None:
    class Chunks:
        def decode(self, ids: list[int], **_: Any) -> str:
            return b"".join((b"\xe2\x82", b"\xac\xe2\x82", b"\xac")[id] for id in ids).decode("utf-8", "replace")

    text, ids, _ = run(Chunks(), [0, 2], [0, *[1] * 12, 2])
    assert (text, len(ids)) == ("€" * 13, 14)
    detokenizer = Detokenizer(Chunks(), [0, 2])
    assert not any(detokenizer.feed(token) for token in [0, *[1] * (HELD_MAX - 2)])
    assert detokenizer.feed(1) == ("€" * (HELD_MAX - 1) + UNFINISHED, (0, *[1] * (HELD_MAX - 1)))


def test_a_space_is_kept_where_another_one_goes_on() -> None:
    detokenizer = Detokenizer(Words(), [3])
    assert detokenizer.resume([1, 2], " w ww")
    assert detokenizer.feed(1) == (" w", (1,))


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
