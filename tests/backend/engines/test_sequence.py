from __future__ import annotations

from typing import Any

from backend.engines.base import Piece, Sampling, SoFar, Usage
from backend.engines.detokenize import Detokenizer
from backend.engines.sequence import Sequence
from tests.backend.engines.test_detokenize import Bytes

EOS = 0
NOTHING = SoFar()


def sequence(room: int = 100, so_far: SoFar = NOTHING, **sampling: Any) -> Sequence:
    detokenizer = Detokenizer(Bytes(), (65, 66))
    assert detokenizer.resume(so_far.token_ids, so_far.text)
    return Sequence(
        (65, 66), Sampling(**sampling), detokenizer=detokenizer, eos_ids=frozenset({EOS}), room=room, so_far=so_far
    )


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


def test_what_was_said_before_counts_as_made_but_not_towards_max_tokens() -> None:
    made = sequence(so_far=SoFar("ab", (97, 98)), max_tokens=2)
    assert advance(made, "cd") == [Piece("c", (99,)), Piece("d", (100,), "length", Usage(2, 4))]


def test_a_character_begun_before_is_completed_and_only_its_new_tokens_are_told() -> None:
    made = sequence(so_far=SoFar("a", (97, 0xC3)), max_tokens=2)
    assert made.advance(0xA9) == Piece("é", (0xA9,))
    unfinished = sequence(so_far=SoFar("", (0xE2,)), max_tokens=1)
    assert unfinished.advance(0x82) == Piece("", (0x82,), "length", Usage(2, 2))


def test_a_stop_string_that_began_before_ends_it_and_nothing_is_said_twice() -> None:
    made = sequence(so_far=SoFar("xa", (120, 97)), stop=("abc",))
    assert advance(made, "bc") == [None, Piece("", (98, 99), "stop", Usage(2, 4))]
    other = sequence(so_far=SoFar("xa", (120, 97)), stop=("abc",))
    assert advance(other, "bx") == [None, Piece("bx", (98, 120))]


def test_a_cancelled_answer_ends_with_its_usage() -> None:
    made = sequence()
    advance(made, "ab")
    assert made.cancelled() == Piece("", (), "cancelled", Usage(2, 2))


def test_what_is_left_of_the_prompt_to_prefill() -> None:
    made = sequence()
    assert made.prefill_left == 2
    made.row.length = 5
    assert made.prefill_left == 0
    assert sequence(so_far=SoFar("abc", (97, 98, 99))).prefill_left == 5
