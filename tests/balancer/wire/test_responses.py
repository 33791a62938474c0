from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.responses import error_event, error_in, is_done
from balancer.wire.sse import event_data


def named(type: str, **fields: object) -> bytes:
    """An event as OpenAI sends it."""
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()


DELTA = named("response.output_text.delta", delta="say response.completed, or data: [DONE]", sequence_number=4)


@pytest.mark.parametrize("type", ["response.completed", "response.failed", "response.incomplete"])
def test_three_events_complete_a_response(type: str) -> None:
    last = named(type, response={"id": "r", "error": None}, sequence_number=9)
    assert is_done(last) and is_done(DELTA + last) and is_done(last + b"data: [DONE]\n\n")
    assert is_done(last.replace(b"\n", b"\r\n"))
    assert error_in(last) is None


@pytest.mark.parametrize(
    "events",
    [
        b"",
        b": ping\n\n",
        b"data: [DONE]\n\n",
        DELTA,
        named("response.created", response={"status": "in_progress"}),
        named("response.output_item.done", item={"type": "response.completed"}),
        named("error", message="response.failed"),
        b'data: "response.completed"\n\n',
        b"event: response.completed\ndata: junk\n\n",
        b'data: {"type":["response.completed"]}\n\n',
        b"data: " + b"[" * 100_000 + b'"response.completed"\n\n',
    ],
)
def test_nothing_else_does(events: bytes) -> None:
    assert not is_done(events)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (named("error", code="server_error", message="out of memory", param=None, sequence_number=3), "out of memory"),
        (named("error", error={"message": "nested", "code": 5}), "nested"),
        (named("error"), ""),
        (named("error", message=["odd"]), ""),
        (b'data: {"error":{"message":"as in chat"}}\n\n', "as in chat"),
        (DELTA + named("error", message="later"), "later"),
        (DELTA, None),
        (named("response.created", response={"error": None}), None),
        (named("response.failed", response={"error": {"message": "the model's own"}}), None),
        (named("response.output_text.delta", delta='"error"'), None),
        (b'data: ["error"]\n\n', None),
    ],
)
def test_an_error_event_is_known_from_a_text_about_errors(events: bytes, said: str | None) -> None:
    assert error_in(events) == said


@pytest.mark.parametrize(("relayed", "number"), [(b"", 0), (DELTA, 5), (DELTA + named("x", sequence_number=41), 42)])
def test_a_broken_stream_ends_in_an_error_event_that_goes_on_counting(relayed: bytes, number: int) -> None:
    event = error_event("it broke", "server_error", "backend_lost", relayed)
    assert event.startswith(b"event: error\ndata: {") and event.endswith(b"}\n\n")
    (data,) = event_data(event)
    found = json.loads(data)
    assert (found["type"], found["code"], found["message"]) == ("error", "backend_lost", "it broke")
    assert (found["param"], found["sequence_number"]) == (None, number)
    assert found["error"]["code"] == "backend_lost"
    assert error_in(event) == "it broke"


@given(st.binary(max_size=200))
def test_any_bytes_can_be_asked(data: bytes) -> None:
    for events in (data, b'data: {"type":"response.completed"' + data, b'data: {"error"' + data):
        assert is_done(events) in (True, False)
        assert error_in(events) is None or isinstance(error_in(events), str)
        assert error_event("x", "y", None, events)
