from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.limits import LINE_MAX_BYTES
from balancer.wire.native import ask_line
from client.conversation import Conversation, Turn, told
from client.events import done_from_fields


def chat(turns: int, size: int = 10) -> Conversation:
    return Conversation(turns=[Turn(f"q{i}".ljust(size), f"a{i}".ljust(size)) for i in range(turns)])


def test_the_whole_history_goes_with_every_question():
    talk = Conversation(system="be kind")
    talk.ask("one")
    assert talk.messages == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "one"}]
    talk.answered("1")
    talk.ask("two")
    assert [m["content"] for m in talk.messages] == ["be kind", "one", "1", "two"]
    assert [m["role"] for m in talk.messages] == ["system", "user", "assistant", "user"]


def test_an_abandoned_question_leaves_no_trace():
    talk = Conversation()
    talk.ask("one")
    talk.abandon()
    talk.ask("two")
    assert [m["content"] for m in talk.messages] == ["two"]


def test_overflow_drops_the_oldest_turns_first_and_keeps_the_question():
    talk = chat(8)
    talk.ask("now")
    dropped = talk.overflowed()
    assert 2 <= dropped <= 4
    assert talk.turns[0].question.startswith(f"q{dropped}")
    assert talk.messages[-1] == {"role": "user", "content": "now"}


def test_overflow_ends_where_nothing_is_left_to_drop():
    talk = chat(8)
    talk.ask("x" * 1000)
    rounds = 0
    while talk.overflowed():
        rounds += 1
    assert rounds <= 8
    assert talk.turns == ()
    assert len(talk.messages) == 1


def test_what_was_learned_holds_for_the_next_question():
    talk = chat(8)
    talk.ask("now")
    talk.overflowed()
    talk.answered("x" * 60)
    assert talk.ask("next") >= 1


def test_an_answer_cut_short_by_the_context_makes_room():
    talk = chat(8)
    talk.ask("now")
    done = done_from_fields({"finish_reason": "length", "usage": {"completion_tokens": 3}})
    talk.answered("and then", done)
    assert talk.ask("next") >= 2


def test_an_answer_cut_by_max_tokens_teaches_nothing():
    talk = chat(8)
    talk.ask("now")
    talk.answered("one", done_from_fields({"finish_reason": "length", "usage": {"completion_tokens": 3}}), max_tokens=3)
    talk.ask("next")
    talk.answered("long", done_from_fields({"finish_reason": "length", "usage": {"completion_tokens": 256}}))
    assert talk.ask("more") == 0


def test_clear_forgets_turns_and_what_was_learned():
    talk = chat(8)
    talk.ask("now")
    talk.overflowed()
    talk.clear()
    assert talk.ask("x" * 10_000) == 0
    assert len(talk.messages) == 1


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=30), st.text(max_size=60))
def test_however_often_it_overflows_the_newest_turns_stay_in_order(turns, question):
    talk = Conversation(turns=[Turn(*turn) for turn in turns])
    talk.ask(question)
    left = len(turns)
    while dropped := talk.overflowed():
        left -= dropped
        assert [(turn.question, turn.answer) for turn in talk.turns] == turns[len(turns) - left :]
    assert left == 0


def test_history_fits_into_a_line_whatever_it_consists_of():
    talk = Conversation()
    for _ in range(40):
        talk.ask("\x1b" * 8_000)  # six bytes each as JSON, and no worse exists
        talk.answered("x")
    assert talk.turns
    assert len(ask_line(1, {"messages": talk.messages})) <= LINE_MAX_BYTES


def test_the_person_is_told_in_words():
    assert "the oldest turn no longer" in told(1)
    assert "the oldest 3 turns no longer" in told(3)
