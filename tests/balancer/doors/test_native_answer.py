from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import errors
from balancer.doors.native_answer import NativeAnswer, failure_line
from balancer.exchange.outcome import Opening, Outcome
from balancer.wire.native import RequestId
from balancer.wire.sse import event
from tests.fakes import last_events, text_events


class Out:
    """The connection's side: what was written, and which answers are over."""

    def __init__(self) -> None:
        self.written = b""
        self.ended: list[RequestId] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def over(self, id: RequestId) -> None:
        self.ended.append(id)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.splitlines()]


def an_outcome(**changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "model": "m",
        "backend": "b",
        "cache": "miss",
        "attempts": 1,
        "queue_s": 0.0012,
        "ttft_s": 0.5,
        "total_s": 2.0,
    }
    return Outcome(**{**fields, **changes})


def test_all_the_text_of_one_run_of_events_is_one_line() -> None:
    out = Out()
    NativeAnswer(out, 7).events(text_events("a", "", "b") + last_events())
    assert out.lines == [{"id": 7, "text": "ab"}]


def test_events_without_text_write_nothing_and_leave_the_answer_silent() -> None:
    out = Out()
    answer = NativeAnswer(out, 7)
    answer.events(b": comment\n\n" + last_events())
    assert out.written == b""
    assert answer.silent
    answer.events(text_events("a"))
    assert not answer.silent


def test_what_is_more_than_text_goes_as_a_chunk_in_its_place() -> None:
    out = Out()
    tools = b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}],"odd":1}'
    NativeAnswer(out, "x").events(text_events("a") + event(tools) + text_events("b"))
    assert out.lines == [{"id": "x", "text": "a"}, {"id": "x", "chunk": json.loads(tools)}, {"id": "x", "text": "b"}]


def test_a_chunk_that_cannot_be_read_is_the_backends_failure_and_nothing_of_it_is_written() -> None:
    out = Out()
    with pytest.raises(ValueError):
        NativeAnswer(out, 7).events(text_events("a") + event(b"{nonsense"))
    assert out.written == b""


def test_done_tells_how_the_answer_came_about() -> None:
    out = Out()
    answer = NativeAnswer(out, None)
    answer.events(text_events("a") + last_events("length"))
    answer.done(an_outcome(cache="semantic", similarity=0.98765, probability=0.99341, age_s=12.34))
    done = out.lines[-1]["done"]
    assert done["finish_reason"] == "length"
    assert (done["cache"], done["similarity"], done["age_s"]) == ("semantic", 0.9877, 12.3)
    assert done["probability"] == 0.9934
    assert done["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert (done["queue_ms"], done["ttft_ms"], done["total_ms"]) == (1.2, 500.0, 2000.0)
    assert "id" not in out.lines[-1]
    assert out.ended == [None]


def test_a_cancel_without_an_exchange_is_answered_all_the_same() -> None:
    out = Out()
    NativeAnswer(out, 7).cancel_by_client()
    assert out.lines == [{"id": 7, "done": {"finish_reason": "cancelled"}}]
    assert out.ended == [7]


def test_a_failure_says_when_to_try_again_only_where_that_helps() -> None:
    out = Out()
    NativeAnswer(out, 7).failed(errors.queue_full(3, 2.5))
    error = out.lines[0]["error"]
    assert (error["code"], error["type"], error["retry_after_s"]) == ("queue_full", "server_error", 2.5)
    assert "retry_after_s" not in json.loads(failure_line(None, errors.bad_request("no")))["error"]


def test_a_position_is_told_as_it_is() -> None:
    out = Out()
    NativeAnswer(out, 7).queued(3)
    assert out.lines == [{"id": 7, "queued": {"position": 3}}]


def test_a_change_of_backend_is_told_in_its_place() -> None:
    out = Out()
    answer = NativeAnswer(out, 7)
    answer.events(text_events("half "))
    answer.resumed(Opening("b2", "miss", 1, resumed=1))
    answer.events(text_events("done"))
    answer.done(an_outcome(backend="b2", resumed=1))
    assert out.lines[:3] == [
        {"id": 7, "text": "half "},
        {"id": 7, "resumed": {"backend": "b2", "resumed": 1}},
        {"id": 7, "text": "done"},
    ]
    assert out.lines[3]["done"]["resumed"] == 1


TEXTS = st.text(max_size=6) | st.sampled_from(['"', "\\", "\n", '"}\n{"id":8,"text":"', "\U0001f600", "}", "[DONE]"])
TOOLS = event(b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}')


@given(st.lists(st.lists(TEXTS | st.none(), min_size=1, max_size=4), max_size=12))
def test_the_client_gets_the_same_text_however_the_events_come_together(reads: list[list[str | None]]) -> None:
    """``None`` stands for a chunk that is more than text."""
    out = Out()
    answer = NativeAnswer(out, 7)
    for read in reads:
        answer.events(b"".join(TOOLS if text is None else text_events(text) for text in read))
    assert pieces([line.get("text") for line in out.lines]) == pieces([text for read in reads for text in read])
    assert all(set(line) in ({"id", "text"}, {"id", "chunk"}) and line["id"] == 7 for line in out.lines)


def pieces(texts: list[str | None]) -> list[str]:
    """What stands between chunks that are more than text."""
    found = [""]
    for text in texts:
        if text is None:
            found.append("")
        else:
            found[-1] += text
    return found


def test_each_of_many_tokens_is_a_line_also_once_their_frame_is_known() -> None:
    out = Out()
    answer = NativeAnswer(out, "a")
    words = ["one ", "two ", "gr\u00fc\u00df ", '"three" ', "four"]
    for word in words:
        answer.events(text_events(word))
    answer.events(last_events("length"))
    answer.done(an_outcome())
    assert [line["text"] for line in out.lines[:-1]] == words
    assert out.lines[-1]["done"]["finish_reason"] == "length"


def test_a_chunk_that_cannot_be_read_is_a_failure_also_where_the_frame_is_known() -> None:
    out = Out()
    answer = NativeAnswer(out, 7)
    for _ in range(3):
        answer.events(text_events("word "))
    written = out.written
    with pytest.raises(ValueError):
        answer.events(text_events("word ").replace(b"word ", b"\\ud800"))
    assert out.written == written


def test_a_content_in_parts_goes_on_as_the_chunk_it_is() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": [{"type": "thinking", "thinking": []}]}}]}
    out = Out()
    NativeAnswer(out, 7).events(event(json.dumps(chunk).encode()) + text_events("so"))
    assert out.lines == [{"id": 7, "chunk": chunk}, {"id": 7, "text": "so"}]
