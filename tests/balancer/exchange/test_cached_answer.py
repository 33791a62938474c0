"""An entry is told as if a backend had just made it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from balancer.cache.entry import entry_for
from balancer.cache.keys import derive
from balancer.cache.store import Hit
from balancer.exchange.cached_answer import tell
from balancer.exchange.outcome import Outcome
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data
from balancer.wire.whole import parse_whole, whole_text
from tests.balancer.upstream.engine import a_request
from tests.fakes import RecordingSink

OUTCOME = Outcome("m", "gpu-1", "exact", 0, 0.0, 0.0, 0.0, age_s=3.0, entry="ab12")


def a_hit(**told: Any) -> Hit:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    keys = derive(body, tenant="t", model="m", endpoint="chat")
    fields: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": 2, **told}
    entry = entry_for(keys, text="a cat", finish_reason="stop", answered_by="m", backend="gpu-1", now=0.0, **fields)
    return Hit("exact", entry, None)


def told(stream: bool, **fields: Any) -> RecordingSink:
    sink = RecordingSink()
    tell(sink, a_hit(**fields), OUTCOME, replace(a_request("hello"), stream=stream), 7)
    assert [(opening.backend, opening.cache, opening.entry) for opening in sink.openings] == [
        ("gpu-1", "exact", "ab12")
    ]
    return sink


def test_who_asked_for_a_stream_gets_the_events_of_an_ordinary_one() -> None:
    datas = list(event_data(told(True).raw))
    chunks = [parse_chunk(data) for data in datas[:-1]]
    assert datas[-1] == b"[DONE]"
    assert chunk_text(chunks[0].choices[0]) == "a cat"
    assert chunks[1].choices[0].finish_reason == "stop"
    assert chunks[2].usage is not None and chunks[2].usage.total_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


def test_who_did_not_gets_it_in_one_piece() -> None:
    sink = told(False)
    whole = parse_whole(sink.body)
    assert (
        not sink.raw
        and whole_text(whole) == "a cat"
        and whole.choices[0].finish_reason == "stop"
        and whole.model == "m"
    )
    assert whole.usage is not None and whole.usage.total_tokens == 5


def test_what_no_engine_counted_is_not_made_up() -> None:
    whole = parse_whole(told(False, prompt_tokens=None, completion_tokens=None).body)
    assert whole.usage is None
