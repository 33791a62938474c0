from __future__ import annotations

from typing import Any

from balancer.cache.keys import KeyRules
from balancer.cache.learned import LearnedVerdict
from balancer.cache.store import CacheLimits, CacheStore, Hit
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.journal import Journal
from balancer.exchange.lookup import Lookup
from balancer.exchange.outcome import Outcome
from balancer.wire.whole import whole_body
from tests.balancer.cache.verdicts import DIMENSION, file
from tests.fake_embedder import FakeEmbedder
from tests.fakes import FakeClock, completion_of, last_events, text_events


def an_outcome(model: str = "m") -> Outcome:
    return Outcome(model=model, backend="b", cache="miss", attempts=1, queue_s=0.0, ttft_s=0.1, total_s=0.2)


class Desk:
    """Lookups in one cache, and what came of them."""

    def __init__(self, verdict: LearnedVerdict | None = None) -> None:
        self.embedder = FakeEmbedder()
        self.store = CacheStore(CacheLimits(), verdict)
        self.lane = CacheLane(self.store, self.embedder, FakeClock(), wait_s=0.03, ttl_s=60.0, rules=KeyRules())
        self.heard: list[tuple[str, str | None]] = []

    def lookup(self, prompt: str, **changes: Any) -> Lookup:
        request = completion_of(prompt, **changes)
        return Lookup(self.lane, request, "m", self._hit, lambda: self.heard.append(("miss", None)))

    def _hit(self, hit: Hit) -> None:
        self.heard.append((hit.kind, hit.entry.text))

    def answer(self, lookup: Lookup, text: str, finish_reason: str = "stop") -> None:
        journal = Journal()
        journal.add(text_events(text) + last_events(finish_reason))
        lookup.store(journal, an_outcome())


def with_a_lion() -> Desk:
    desk = Desk()
    lookup = desk.lookup("what is a lion")
    assert not lookup.begin()
    desk.answer(lookup, "a cat")
    desk.embedder.asked[0].answer(1.0, 0.0)
    desk.heard.clear()
    return desk


def test_an_equal_request_hits_at_once() -> None:
    desk = with_a_lion()
    assert not desk.lookup("what is a lion").begin()
    assert desk.heard == [("exact", "a cat")]


def test_a_near_one_hits_when_the_embedder_has_answered() -> None:
    desk = with_a_lion()
    assert desk.lookup("what are lions").begin()
    assert desk.heard == []
    desk.embedder.asked[-1].answer(1.0, 0.0)
    assert desk.heard == [("semantic", "a cat")]


def test_a_near_one_that_the_learned_verdict_refuses_is_a_miss_and_its_answer_a_neighbour_of_the_next() -> None:
    """Each question is embedded once: what the lookup read is kept with the answer."""
    desk = Desk(LearnedVerdict(file(bias=5.0)))
    desk.embedder.id = "model@1"

    def ask(prompt: str, answer: str | None = None) -> None:
        lookup = desk.lookup(prompt)
        asked = len(desk.embedder.asked)
        lookup.begin()
        for ticket in desk.embedder.asked[asked:]:
            ticket.answer_with_tokens(*[DIMENSION**-0.5] * DIMENSION)
        if answer is not None:
            desk.answer(lookup, answer)

    ask("is it safe", "yes")
    desk.embedder.asked[0].answer_with_tokens(*[DIMENSION**-0.5] * DIMENSION)
    ask("is it not safe", "no")
    ask("is it safe?")
    ask("is it not safe?")
    assert desk.heard == [("miss", None), ("miss", None), ("semantic", "yes"), ("semantic", "no")]
    assert len(desk.embedder.asked) == 4


def test_a_far_or_late_one_is_a_miss_and_told_once() -> None:
    desk = with_a_lion()
    desk.lookup("what is a car").begin()
    desk.embedder.asked[-1].answer(0.0, 1.0)
    desk.lookup("what is a bus").begin()
    desk.embedder.asked[-1].late()
    assert desk.heard == [("miss", None), ("miss", None)]


def test_one_whom_nobody_waits_for_any_more_hears_nothing() -> None:
    desk = with_a_lion()
    lookup = desk.lookup("what are lions")
    lookup.begin()
    lookup.cancel()
    assert desk.embedder.asked[-1].cancelled
    desk.embedder.asked[-1].answer(1.0, 0.0)
    assert desk.heard == []


def test_an_equal_request_of_another_tenant_or_to_another_model_is_a_miss() -> None:
    """Faults 41 and 42."""
    desk = with_a_lion()
    desk.lookup("what is a lion", tenant="other").begin()
    desk.lookup("what is a lion", endpoint="chat").begin()
    assert [kind for kind, _ in desk.heard] == ["miss", "miss"]


def test_who_wants_it_fresh_gets_a_miss_and_replaces_what_was_kept() -> None:
    desk = with_a_lion()
    fresh = desk.lookup("what is a lion", cache="refresh")
    assert not fresh.begin()
    desk.answer(fresh, "a big cat")
    assert not desk.lookup("what is a lion").begin()
    assert desk.heard == [("miss", None), ("exact", "a big cat")]


def test_an_answer_in_one_piece_is_kept_as_well() -> None:
    desk = Desk()
    lookup, journal = desk.lookup("hello"), Journal()
    lookup.begin()
    journal.add_whole(whole_body("completions", "id", "m", 0, "hi", "stop", None))
    lookup.store(journal, an_outcome())
    desk.lookup("hello").begin()
    assert desk.heard[-1] == ("exact", "hi")


def test_an_answer_that_did_not_end_well_is_not_kept() -> None:
    desk = Desk()
    lookup = desk.lookup("hello")
    lookup.begin()
    desk.answer(lookup, "cut", "length")
    assert len(desk.store) == 0


def test_an_answer_that_another_model_gave_is_not_kept_under_this_ones_name() -> None:
    desk = Desk()
    lookup, journal = desk.lookup("hello"), Journal()
    lookup.begin()
    journal.add(text_events("hi") + last_events())
    lookup.store(journal, an_outcome("classic"))
    desk.lookup("hello").begin()
    assert desk.heard[-1] == ("miss", None)
