"""Stories of one request: answers from the cache, and what is kept there."""

from __future__ import annotations

import pytest

from balancer.exchange.state import State
from tests.balancer.exchange.stories import BROKEN
from tests.fakes import Hall


def test_an_exact_hit_streams_like_any_other_answer() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    _, first = hall.ask("tell me")
    hall.calls[0].answer("a ", "story")
    hall.clock.now += 5.0
    exchange, second = hall.ask("tell me")
    assert exchange is not None and exchange.state is State.COMPLETE
    assert second.text == first.text == "a story"
    assert second.raw.endswith(b"data: [DONE]\n\n")
    assert second.outcome is not None
    assert (second.outcome.cache, second.outcome.backend, second.outcome.age_s) == ("exact", "a", 5.0)
    assert second.outcome.attempts == 0
    assert len(hall.calls) == 1
    assert hall.dispatcher.active == 0


def known_question(vector: tuple[float, float] = (1.0, 0.0)) -> Hall:
    """A hall that has answered one question, whose embedding is known."""
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("what is a lion")
    hall.calls[0].answer("a cat")
    hall.embedder.asked[0].answer(*vector)
    return hall


def test_a_semantic_hit_streams_like_any_other_answer_and_says_how_near() -> None:
    hall = known_question()
    exchange, sink = hall.ask("what are lions")
    assert exchange is not None and exchange.state is State.EMBEDDING
    hall.embedder.asked[-1].answer(0.99, 0.01)
    assert sink.text == "a cat"
    assert sink.outcome is not None
    assert sink.outcome.cache == "semantic"
    assert sink.outcome.similarity is not None and sink.outcome.similarity > 0.99
    assert len(hall.calls) == 1


@pytest.mark.parametrize("late", [True, False])
def test_no_near_match_or_a_late_embedder_is_a_miss(late: bool) -> None:
    hall = known_question()
    _, sink = hall.ask("what is a car")
    ticket = hall.embedder.asked[-1]
    assert ticket.wait_s == 0.03
    ticket.late() if late else ticket.answer(0.0, 1.0)
    hall.calls[1].answer("a machine")
    assert sink.outcome is not None and sink.outcome.cache == "miss"


def test_a_vector_that_came_late_still_serves_the_store() -> None:
    hall = known_question()
    hall.ask("what is a car")
    ticket = hall.embedder.asked[-1]
    ticket.late()
    ticket.vector = hall.embedder.asked[0].vector
    hall.calls[1].answer("a machine")
    assert len(hall.embedder.asked) == 2, "not embedded a second time"
    assert hall.store.stats()["vectors"] == 2


def test_only_asks_no_backend() -> None:
    hall = known_question()
    _, hit = hall.ask("what is a lion", cache="only")
    assert hit.text == "a cat"
    _, miss = hall.ask("what is a car", cache="only")
    hall.embedder.asked[-1].answer(0.0, 1.0)
    assert miss.failure is not None
    assert (miss.failure.code, miss.failure.status) == ("not_cached", 504)
    assert len(hall.calls) == 1


def test_only_with_the_cache_off_asks_no_backend_either() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask("x", cache="only")
    assert sink.code == "not_cached"
    assert hall.calls == []


def test_refresh_asks_a_backend_and_replaces_the_entry() -> None:
    hall = known_question()
    _, sink = hall.ask("what is a lion", cache="refresh")
    hall.calls[1].answer("a big cat")
    assert sink.outcome is not None and sink.outcome.cache == "miss"
    _, again = hall.ask("what is a lion")
    assert again.text == "a big cat"
    assert len(hall.store) == 1


def test_bypass_neither_looks_nor_stores() -> None:
    hall = known_question()
    _, sink = hall.ask("what is a lion", cache="bypass")
    hall.calls[1].answer("unsaid")
    assert sink.outcome is not None and sink.outcome.cache == "bypass"
    _, again = hall.ask("what is a lion")
    assert again.text == "a cat"


@pytest.mark.parametrize("how", ["error", "cancelled", "length", "lost", "tools"])
def test_only_complete_plain_answers_are_stored(how: str) -> None:
    hall = Hall(cache=True)
    hall.join("a")
    exchange, _ = hall.ask("tell me")
    assert exchange is not None
    (call,) = hall.calls
    call.say("half")
    match how:
        case "error":
            call.fail(BROKEN)
        case "cancelled":
            exchange.cancel()
        case "length":
            call.finish("length")
        case "lost":
            hall.leave("a")
        case _:
            call.send(b'data: {"choices":[{"index":1,"text":"second choice"}]}\n\n')
            call.finish()
    assert len(hall.store) == 0


def test_a_tenants_answers_are_its_own() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("tell me", tenant="one")
    hall.calls[0].answer("x")
    hall.ask("tell me", tenant="two")
    assert len(hall.calls) == 2
