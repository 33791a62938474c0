from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import client
from frontend.limits import QUESTION_MAX_CHARS
from frontend.messages import BadMessage, Cancel, PageTurn, Question, Wrong, done_fields, error_fields, parse, reply


def test_the_pages_messages():
    asked = parse('{"id":3,"question":"and then?","turns":[{"question":"q","answer":"a"}]}')
    assert asked == Question(3, "and then?", [PageTurn("q", "a")])
    assert parse('{"id":3,"question":"hi"}') == Question(3, "hi", [])
    assert parse('{"cancel":3}') == Cancel(3)
    assert parse('{"wrong":"5f0c"}') == Wrong("5f0c")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "canary",
        "[]",
        "{}",
        '{"id":1}',
        '{"id":"1","question":"canary"}',
        '{"id":1,"question":"canary","extra":1}',
        '{"id":1,"question":"   "}',
        '{"id":1,"question":"hi","turns":[{"question":"canary"}]}',
        '{"id":1,"question":"' + "canary " * QUESTION_MAX_CHARS + '"}',
        '{"cancel":1,"question":"canary"}',
        '{"wrong":7}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_refused_without_quoting_it(message):
    with pytest.raises(BadMessage) as caught:
        parse(message)
    assert "canary" not in str(caught.value)


@given(st.text())
def test_no_text_crashes_it(text):
    with pytest.raises(BadMessage):
        parse(text)


def test_replies_are_one_object():
    assert json.loads(reply(1, "text", "ü\u2028")) == {"id": 1, "text": "ü\u2028"}
    assert json.loads(reply(None, "error", {"code": "x"})) == {"id": None, "error": {"code": "x"}}


def test_the_quiet_lines_fields():
    done = client.Done("stop", model="m", backend="b1", cache="semantic", similarity=0.97)
    fields = done_fields(done, client.Timing(0.1, 1.1, 11))
    assert fields["similarity"] == 0.97
    assert fields["tokens_per_s"] == pytest.approx(10.0)


def test_errors_are_sentences_and_hide_addresses():
    lost = error_fields(client.CannotConnect("no balancer at 10.0.0.7:1234: refused"))
    assert "10.0.0.7" not in lost["message"]
    assert lost["retry"]
    busy = error_fields(client.Busy("every backend is busy", code="queue_full", retry_after_s=2.0))
    assert busy == {"code": "queue_full", "message": "Every backend is busy.", "retry": True, "retry_after_s": 2.0}
    assert not error_fields(client.ContextTooLong("prompt of 9 tokens", code="context_length_exceeded"))["retry"]
