from __future__ import annotations

from typing import Any

from balancer.cache.keys import KeyRules
from balancer.cache.store import CacheLimits, CacheStore
from balancer.exchange.cached import CacheLane, entry_events
from balancer.exchange.journal import Answer
from balancer.exchange.ports import Vector
from balancer.request import Request
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event_data
from tests.fakes import FakeClock, FakeEmbedder

ANSWER = Answer("a cat", "stop", "m", 3, 2, True)


class Lane:
    """A lane with its fakes."""

    def __init__(self, embedder: FakeEmbedder | None) -> None:
        self.clock = FakeClock()
        self.store = CacheStore(CacheLimits())
        self.embedder = embedder
        self.lane = CacheLane(self.store, embedder, self.clock, wait_s=0.03, ttl_s=60.0, rules=KeyRules())
        self.heard: list[Vector | None] = []

    def request(self, prompt: str, **changes: Any) -> Request:
        fields: dict[str, Any] = {
            "id": "1",
            "tenant": "t",
            "endpoint": "completions",
            "body": {"prompt": prompt},
            "prompt_bytes": len(prompt),
        }
        return Request(**{**fields, **changes})

    def put(self, prompt: str, answer: Answer = ANSWER, **changes: Any) -> None:
        request = self.request(prompt, **changes)
        self.lane.store(request, self.lane.keys(request, "m"), answer, "b", None)

    def exact(self, prompt: str, **changes: Any) -> bool:
        request = self.request(prompt, **changes)
        return self.lane.exact(request, self.lane.keys(request, "m")) is not None

    def embed(self, prompt: str, **changes: Any) -> bool:
        request = self.request(prompt, **changes)
        return self.lane.embed(request, self.lane.keys(request, "m"), self.heard.append) is not None


def with_one_neighbour() -> Lane:
    embedder = FakeEmbedder()
    lane = Lane(embedder)
    lane.put("what is a lion")
    embedder.asked[0].answer(1.0, 0.0)
    return lane


def test_an_equal_request_is_answered_until_it_expires() -> None:
    lane = Lane(None)
    lane.put("hello")
    assert lane.exact("hello")
    lane.clock.now += 60.0
    assert not lane.exact("hello")


def test_a_stored_question_is_embedded_in_the_background_even_while_the_embedder_is_busy() -> None:
    embedder = FakeEmbedder()
    embedder.busy = True
    lane = Lane(embedder)
    lane.put("hello")
    assert [ticket.text for ticket in embedder.asked] == ["hello"]


def test_no_question_waits_for_its_embedding_where_nothing_is_near() -> None:
    lane = Lane(FakeEmbedder())
    assert not lane.embed("hello")
    assert lane.store.stats()["near_skips"] == {"no_neighbours": 1}


def test_a_busy_embedder_is_not_waited_for() -> None:
    lane = with_one_neighbour()
    assert lane.embedder is not None
    lane.embedder.busy = True
    assert not lane.embed("what is a car")
    assert lane.store.stats()["near_skips"] == {"embedder_busy": 1}


def test_without_an_embedder_the_exact_tier_still_works() -> None:
    lane = Lane(None)
    lane.put("hello")
    assert not lane.embed("hullo")
    assert lane.exact("hello")
    assert lane.lane.stats()["embedder"] is None


def test_controls_that_do_not_look_are_counted_as_such() -> None:
    lane = Lane(None)
    lane.put("hello")
    assert not lane.exact("hello", cache="bypass")
    assert not lane.exact("hello", cache="refresh")
    assert lane.store.stats()["skips"] == {"bypass": 1, "refresh": 1}


def test_an_answer_that_is_more_than_text_is_not_kept() -> None:
    lane = Lane(None)
    lane.put("hello", Answer("x", "stop", "m", 1, 1, False))
    assert not lane.exact("hello")


def test_a_request_that_is_not_cacheable_is_counted_and_left_alone() -> None:
    lane = Lane(None)
    warm = {"prompt": "hello", "temperature": 1.5}
    lane.put("hello", body=warm)
    assert not lane.exact("hello", body=warm)
    assert not lane.embed("hello", body=warm)
    assert lane.store.stats()["skips"] == {"temperature": 1}


def test_purging_forgets_and_says_how_many() -> None:
    lane = Lane(None)
    lane.put("one")
    lane.put("two", tenant="other")
    assert lane.lane.purge(tenant="other") == 1
    assert lane.exact("one")


def test_the_tick_drops_what_has_expired() -> None:
    lane = Lane(None)
    lane.put("one")
    lane.lane.advance(lane.clock.now + 61.0)
    assert len(lane.store) == 0


def test_an_entry_is_told_again_as_an_ordinary_stream() -> None:
    lane = Lane(None)
    lane.put("hello")
    request = lane.request("hello", endpoint="chat", body={"messages": [{"role": "user", "content": "hello"}]})
    entry = lane.lane.exact(lane.request("hello"), lane.lane.keys(lane.request("hello"), "m"))
    assert entry is not None
    datas = list(event_data(entry_events(entry, request, "m", 7)))
    chunks = [parse_chunk(data) for data in datas[:-1]]
    assert datas[-1] == b"[DONE]"
    assert chunk_text(chunks[0].choices[0]) == "a cat"
    assert chunks[1].choices[0].finish_reason == "stop"
    assert chunks[2].usage is not None and chunks[2].usage.total_tokens == 5
    assert chunks[0].id == "chatcmpl-1"
