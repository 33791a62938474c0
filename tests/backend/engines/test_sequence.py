from __future__ import annotations

from typing import Any

from backend.engines.base import Piece, Sampling, Usage
from backend.engines.sequence import Sequence
from tests.backend.engines.test_detokenize import Bytes

EOS = 0


def sequence(room: int = 100, **sampling: Any) -> Sequence:
    return Sequence((65, 66), Sampling(**sampling), tokenizer=Bytes(), eos_ids=frozenset({EOS}), room=room)


def advance(made: Sequence, text: str) -> list[Piece | None]:
    return [made.advance(byte) for byte in text.encode()]


def test_each_token_is_a_piece() -> None:
    assert advance(sequence(), "ab") == [Piece("a", (97,)), Piece("b", (98,))]


def test_within_a_character_there_is_no_piece_and_then_one_with_all_its_tokens() -> None:
    assert advance(sequence(), "é") == [None, Piece("é", tuple("é".encode()))]


def test_the_models_end_is_counted_and_told_but_makes_no_text() -> None:
    made = sequence()
    advance(made, "a")
    assert made.advance(EOS) == Piece("", (EOS,), "stop", Usage(2, 2))


def test_the_end_is_passed_over_if_told_so() -> None:
    made = sequence(ignore_eos=True)
    piece = made.advance(EOS)
    assert piece is not None
    assert piece.finish_reason is None


def test_max_tokens_ends_it_and_gives_what_was_held_back() -> None:
    made = sequence(max_tokens=2, stop=("bcd",))
    assert advance(made, "ab") == [Piece("a", (97,)), Piece("b", (98,), "length", Usage(2, 2))]


def test_the_contexts_room_ends_it_too() -> None:
    assert advance(sequence(room=1, max_tokens=50), "a") == [Piece("a", (97,), "length", Usage(2, 1))]


def test_half_a_character_at_the_end_is_told_as_tokens_only() -> None:
    made = sequence(max_tokens=1)
    assert made.advance(0xC3) == Piece("", (0xC3,), "length", Usage(2, 1))


def test_a_stop_string_across_tokens_ends_before_it() -> None:
    made = sequence(stop=("bc",))
    assert advance(made, "abc") == [Piece("a", (97,)), None, Piece("", (98, 99), "stop", Usage(2, 3))]


def test_a_cancelled_answer_ends_with_its_usage() -> None:
    made = sequence()
    advance(made, "ab")
    assert made.cancelled() == Piece("", (), "cancelled", Usage(2, 2))


def test_what_is_left_of_the_prompt_to_prefill() -> None:
    made = sequence()
    assert made.prefill_left == 2
    made.row.length = 5
    assert made.prefill_left == 0
