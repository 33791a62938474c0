from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from balancer.cache.keys import KeyRules
from balancer.cache.learned import LearnedVerdict
from balancer.cache.purge import Purge
from balancer.cache.reading import Reading
from balancer.cache.store import CacheLimits, CacheStore, Hit
from balancer.cache.verdict import Verdict
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.journal import Answer
from balancer.exchange.ports import TokenVectors, Vector
from tests.balancer.cache.verdicts import DIMENSION, file
from tests.fake_embedder import FakeEmbedder
from tests.fakes import FakeClock, completion_of

ANSWER = Answer("a cat", "stop", "m", 3, 2, True)
NEAR = np.full(DIMENSION, DIMENSION**-0.5, np.float32)
TOKENS = np.ones((3, 2 * DIMENSION), np.int8)


class Lane:
    """A lane with its fakes."""

    def __init__(self, embedder: FakeEmbedder | None, verdict: LearnedVerdict | None = None) -> None:
        self.clock = FakeClock()
        self.store = CacheStore(CacheLimits(), verdict)
        self.embedder = embedder
        self.lane = CacheLane(self.store, embedder, self.clock, wait_s=0.03, ttl_s=60.0, rules=KeyRules())
        self.heard: list[Vector | None] = []

    def put(self, prompt: str, answer: Answer = ANSWER, **changes: Any) -> None:
        request = completion_of(prompt, **changes)
        self.lane.store(request, self.lane.keys(request, "m"), answer, "b", None)

    def exact(self, prompt: str, **changes: Any) -> bool:
        request = completion_of(prompt, **changes)
        return self.lane.exact(request, self.lane.keys(request, "m")) is not None

    def embed(self, prompt: str, **changes: Any) -> bool:
        request = completion_of(prompt, **changes)
        return self.lane.embed(request, self.lane.keys(request, "m"), self.heard.append) is not None

    def near(self, prompt: str, vector: Vector, tokens: TokenVectors | None = TOKENS) -> Hit | None:
        """Embed, read, look up."""
        assert self.embedder is not None
        request = completion_of(prompt)
        keys = self.lane.keys(request, "m")
        embedding = self.lane.embed(request, keys, self.heard.append)
        assert embedding is not None
        self.embedder.asked[-1].token_vectors = tokens
        self.embedder.asked[-1].answer(*vector)
        return self.lane.near(keys, embedding.vector, self.lane.read(keys, embedding))


def with_one_neighbour() -> Lane:
    embedder = FakeEmbedder()
    lane = Lane(embedder)
    lane.put("what is a lion")
    embedder.asked[0].answer(1.0, 0.0)
    return lane


def learned(known: str, *, id: str = "model@1", tokens: TokenVectors | None = TOKENS) -> Lane:
    """A lane whose verdict trusts everything that no gate refuses, and that knows one question."""
    embedder = FakeEmbedder()
    embedder.id = id
    lane = Lane(embedder, LearnedVerdict(file(bias=5.0)))
    lane.put(known)
    embedder.asked[0].token_vectors = tokens
    embedder.asked[0].answer(*NEAR)
    return lane


def test_the_learned_verdict_judges_the_embedder_that_it_knows() -> None:
    lane = learned("who is Ann")
    hit = lane.near("who's Ann", NEAR)
    assert hit is not None and hit.probability is not None
    assert lane.near("who is not Ann", NEAR) is None
    assert lane.store.counters.near_refusals == {"polarity": 1}
    assert lane.lane.stats()["verdict"] == "learned"


def test_the_simple_verdict_judges_any_other() -> None:
    lane = learned("who is Ann", id="other@2")
    hit = lane.near("who's Ann", NEAR)
    assert hit is not None and hit.probability is None
    assert lane.lane.stats()["verdict"] == "simple"


@pytest.mark.parametrize("tokens", [None, TOKENS[:0], TOKENS[:, :3]], ids=["none", "no rows", "another width"])
def test_a_question_that_cannot_be_read_has_no_near_answer(tokens: TokenVectors | None) -> None:
    lane = learned("who is Ann")
    assert lane.near("who is Ann?", NEAR, tokens) is None
    assert lane.store.stats()["near_skips"] == {"unread": 1}


def test_a_question_that_cannot_be_read_is_kept_for_equal_requests_alone() -> None:
    lane = learned("who is Ann", tokens=None)
    assert lane.exact("who is Ann")
    assert not lane.embed("who's Ann")
    assert (lane.store.stats()["vectors"], lane.store.stats()["vector_refusals"]) == (0, 1)


def test_a_verdict_that_fails_costs_the_near_answer_and_its_words_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(LearnedVerdict):
        def judge(self, new: Reading, old: Reading, similarity: float, *, least: float = 0.0) -> Verdict:
            raise ZeroDivisionError(new.text)

    lane = learned("who is Ann")
    lane.store.verdict = Broken(file())
    assert lane.near("who's Ann", NEAR) is None
    assert lane.store.stats()["near_skips"] == {"verdict_failed": 1}
    assert "ZeroDivisionError" in caplog.text and "Ann" not in caplog.text


def test_a_text_that_fails_to_be_read_has_no_near_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(LearnedVerdict):
        def read(self, text: str, vector: Vector, tokens: TokenVectors) -> Reading | None:
            raise ZeroDivisionError(text)

    lane = learned("who is Ann")
    lane.store.verdict = Broken(file())
    assert lane.near("who's Ann", NEAR) is None
    assert lane.store.stats()["near_skips"] == {"unread": 1}
    assert "ZeroDivisionError" in caplog.text and "Ann" not in caplog.text


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
    assert lane.lane.purge(Purge(tenant="other")) == 1
    assert lane.exact("one")


def test_the_tick_drops_what_has_expired() -> None:
    lane = Lane(None)
    lane.put("one")
    lane.lane.advance(lane.clock.now + 61.0)
    assert len(lane.store) == 0


def test_an_answer_to_a_question_about_now_holds_for_a_shorter_time() -> None:
    lane = Lane(None)
    lane.lane = CacheLane(lane.store, None, lane.clock, wait_s=0.03, ttl_s=60.0, rules=KeyRules(), ttl_timely_s=5.0)
    lane.put("what is the weather today?")
    lane.put("how tall is it?")
    lane.clock.now += 4.9
    assert lane.exact("what is the weather today?") and lane.exact("how tall is it?")
    lane.clock.now += 0.2
    assert not lane.exact("what is the weather today?") and lane.exact("how tall is it?")


def test_forgetting_reaches_answers_under_way_too() -> None:
    lane = Lane(None)
    request = completion_of("why?")
    keys = lane.lane.keys(request, "m")
    lane.lane.forget_all("m")
    lane.lane.store(request, keys, ANSWER, "b", None)
    assert not lane.exact("why?")
    lane.put("why?")
    assert lane.exact("why?")


def test_whoever_asked_to_know_hears_of_a_wrong_answer() -> None:
    lane, told = Lane(None), []
    lane.lane.on_wrong = lambda entry, now: told.append((entry.question, now))
    lane.put("why?")
    key = lane.lane.keys(completion_of("why?"), "m").exact
    assert key is not None
    assert not lane.lane.wrong(key, "another tenant")
    assert lane.lane.wrong(key, "local")
    assert not lane.lane.wrong(key, "local")
    assert told == [("why?", lane.clock.now)]


def test_an_entry_tells_its_question_and_what_it_took_to_make() -> None:
    lane = Lane(None)
    request = completion_of("why?")
    assert lane.lane.store(request, lane.lane.keys(request, "m"), ANSWER, "b", None, None, 1.25)
    hit = lane.lane.exact(request, lane.lane.keys(request, "m"))
    assert hit is not None
    assert (hit.entry.question, hit.entry.made_s) == ("why?", 1.25)
    assert lane.lane.stats()["saved"] == {"tokens": 2, "seconds": 1.25}
