from __future__ import annotations

import msgspec
import pytest

from balancer.exchange.journal import COMPACT_BYTES, TEXT_MAX_BYTES, Answer, Journal
from balancer.wire.dialect import Usage
from balancer.wire.sse import event
from balancer.wire.whole import whole_body
from tests.fakes import last_events, text_events


def journal_of(*events: bytes) -> Journal:
    journal = Journal()
    for piece in events:
        journal.add(piece)
    return journal


def test_an_answer_is_read_back_from_its_events() -> None:
    answer = journal_of(text_events("Once ", "upon"), text_events(" a time"), last_events(completion_tokens=4)).answer()
    assert answer is not None
    assert (answer.text, answer.finish_reason, answer.model) == ("Once upon a time", "stop", "m")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.plain) == (3, 4, True)


def test_an_answer_that_did_not_end_has_no_finish_reason() -> None:
    answer = journal_of(text_events("Once")).answer()
    assert answer is not None
    assert answer.finish_reason is None
    assert answer.prompt_tokens is None


def test_raw_events_are_compacted_as_they_come() -> None:
    journal = Journal()
    piece = text_events("word ")
    for _ in range(2000):
        journal.add(piece)
        assert journal.size_bytes < COMPACT_BYTES + len(piece) + 2000 * 5
    answer = journal.answer()
    assert answer is not None
    assert answer.text == "word " * 2000


def test_an_answer_beyond_the_bound_is_let_go() -> None:
    journal = Journal()
    piece = text_events("x" * 10_000)
    for _ in range(TEXT_MAX_BYTES // 10_000 + 3):
        journal.add(piece)
    assert journal.answer() is None
    assert journal.size_bytes == 0
    journal.add(piece)
    assert journal.size_bytes == 0


def test_what_is_more_than_text_cannot_be_told_again() -> None:
    tools = event(b'{"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}')
    answer = journal_of(text_events("x"), tools, last_events()).answer()
    assert answer is not None
    assert not answer.plain


WHOLE = whole_body("chat", "id", "m", 0, "Once upon", "stop", Usage(3, 2, 5))


def test_an_answer_in_one_piece_is_read_as_if_it_had_streamed() -> None:
    journal = Journal()
    journal.add_whole(WHOLE)
    assert journal.answer() == Answer("Once upon", "stop", "m", 3, 2, True)
    assert journal.size_bytes == len(WHOLE)


def test_a_whole_answer_beyond_the_bound_is_let_go_too() -> None:
    journal = Journal()
    journal.add_whole(whole_body("chat", "id", "m", 0, "x" * (TEXT_MAX_BYTES + 1), "stop", None))
    assert journal.answer() is None
    assert journal.size_bytes == 0


@pytest.mark.parametrize("junk", [b"", b"<html>", b"{}", b'{"error":{"message":"no"}}'])
def test_what_is_no_whole_answer_is_a_value_error(junk: bytes) -> None:
    with pytest.raises(ValueError):
        Journal().add_whole(junk)


def test_events_that_cannot_be_read_are_not_plain() -> None:
    answer = journal_of(event(b"{nonsense"), last_events()).answer()
    assert answer is not None
    assert not answer.plain


def test_what_another_backend_needs_to_go_on_is_read_from_the_events() -> None:
    begun = journal_of(text_events("Once ", "upon")).begun()
    assert begun is not None
    assert (begun.id, begun.model, begun.text, begun.tokens) == ("cmpl-1", "m", "Once upon", 2)
    assert begun.token_ids is None, "the engine did not tell them"


def test_token_ids_are_kept_only_if_they_are_the_whole_text() -> None:
    told = event(b'{"choices":[{"text":"Once ","token_ids":[1,2]}],"prompt_token_ids":[9]}')
    begun = journal_of(told, told).begun()
    assert begun is not None and (begun.token_ids, begun.tokens) == ([1, 2, 1, 2], 4)
    assert begun.prompt_token_ids == [9]
    begun = journal_of(told, text_events("upon")).begun()
    assert begun is not None and (begun.token_ids, begun.tokens) == (None, 3)


def test_more_than_one_text_is_nothing_to_go_on_with() -> None:
    assert journal_of(event(b'{"choices":[{"index":1,"text":"x"}]}')).begun() is None
    assert journal_of(event(b'{"choices":[{"delta":{"tool_calls":[{"id":"1"}]}}]}')).begun() is None
    assert journal_of(b": only a remark\n\n").begun() is None


def test_the_usage_is_found_without_reading_all_of_the_answer() -> None:
    journal = journal_of(text_events("a"), text_events("b"), last_events(completion_tokens=4))
    assert journal.usage() == (3, 4)
    assert journal_of(text_events("a")).usage() is None
    journal = Journal()
    journal.add_whole(whole_body("completions", "id", "m", 0, "x", "stop", Usage(1, 2, 3)))
    assert journal.usage() == (1, 2)


def test_tokens_whose_text_has_not_come_are_made_anew() -> None:
    told = event(b'{"choices":[{"text":"caf","token_ids":[5]}],"prompt_token_ids":[9]}')
    half_a_character = event(b'{"choices":[{"text":"","token_ids":[6]}]}')
    begun = journal_of(told, half_a_character).begun()
    assert begun is not None and (begun.text, begun.token_ids, begun.tokens) == ("caf", [5], 1)
    begun = journal_of(told, half_a_character, event(b'{"choices":[{"text":"x","token_ids":[7]}]}')).begun()
    assert begun is not None and (begun.token_ids, begun.tokens) == ([5, 6, 7], 3)


def test_after_a_break_the_journal_goes_on_where_the_text_ended() -> None:
    half_a_character = event(b'{"choices":[{"text":"","token_ids":[6]}]}')
    journal = journal_of(event(b'{"choices":[{"text":"caf","token_ids":[5]}]}'), half_a_character)
    assert journal.begun() is not None
    journal.add(half_a_character + event(b'{"choices":[{"text":"x","token_ids":[7]}]}'))
    begun = journal.begun()
    assert begun is not None and (begun.token_ids, begun.tokens) == ([5, 6, 7], 3)


def test_tokens_are_counted_by_their_ids_even_where_some_told_none() -> None:
    journal = journal_of(text_events("Once "), event(b'{"choices":[{"text":"upon a","token_ids":[1,2,3]}]}'))
    begun = journal.begun()
    assert begun is not None and (begun.token_ids, begun.tokens) == (None, 4)


def test_an_answer_in_parts_is_neither_told_again_nor_continued() -> None:
    parts = b'[{"type":"thinking","thinking":[]},{"type":"text","text":"so"}]'
    journal = journal_of(event(b'{"choices":[{"index":0,"delta":{"content":%b}}]}' % parts), last_events())
    answer = journal.answer()
    assert answer is not None and (answer.text, answer.plain) == ("so", False)
    assert journal.begun() is None and journal.so_far() is None
    journal = Journal()
    journal.add_whole(b'{"choices":[{"message":{"content":%b},"finish_reason":"stop"}]}' % parts)
    answer = journal.answer()
    assert answer is not None and (answer.text, answer.plain) == ("so", False)


def a_chunk(text: str, ids: list[int] | None = None, reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": reason, **({} if ids is None else {"token_ids": ids})}
    chunk = {"id": "cmpl-1", "model": "m", "created": 1, "choices": [choice], **more}
    return event(msgspec.json.encode(chunk))


def test_tokens_are_counted_by_their_ids() -> None:
    journal = journal_of(a_chunk("Once", [1], prompt_token_ids=[7, 8]), a_chunk(" upon a", [2, 3]))
    assert journal.counted() == (2, 3)


def test_or_as_the_engine_tells_in_every_chunk() -> None:
    told = [{"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n} for n in (4, 8)]
    journal = journal_of(a_chunk("one two three four", usage=told[0]), a_chunk(" and so on it goes", usage=told[1]))
    assert journal.counted() == (5, 8) and not journal.usage_told
    begun = journal.begun()
    assert begun is not None and begun.tokens == 8


def test_what_is_only_estimated_is_not_known() -> None:
    journal = journal_of(
        a_chunk("Once", usage={"prompt_tokens": 5, "completion_tokens": 1}),
        a_chunk(" upon"),
        text_events(" a", " time"),
    )
    assert journal.counted() is None
    begun = journal.begun()
    assert begun is not None and begun.tokens == 4, "a piece, a token"


def test_pieces_too_long_for_one_token_are_taken_for_several() -> None:
    begun = journal_of(a_chunk("x" * 40), a_chunk("y" * 40)).begun()
    assert begun is not None and begun.tokens == 10


def test_usage_in_mid_stream_is_not_the_usage_of_all() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    journal = journal_of(a_chunk("Once", usage=usage), a_chunk("", reason="stop"))
    journal.begun()
    assert not journal.usage_told
    journal.add(a_chunk("", usage=usage))
    journal.begun()
    assert journal.usage_told


def test_zeros_in_every_chunk_count_nothing() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    journal = journal_of(a_chunk("Once", usage=zeros), a_chunk(" upon", usage=zeros))
    assert journal.counted() is None
    begun = journal.begun()
    assert begun is not None and begun.tokens == 2
