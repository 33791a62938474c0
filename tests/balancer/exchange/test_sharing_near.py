"""Who asks in other words what is being answered shares that answer, where the verdict allows it."""

from __future__ import annotations

import numpy as np

from balancer.cache.bound import Bound
from balancer.cache.judge_error import BY_WORDS
from balancer.cache.learned import LearnedVerdict
from balancer.exchange.exchange import Exchange
from balancer.exchange.trials import Trials
from tests.balancer.cache.verdicts import DIMENSION, file
from tests.fakes import Hall, RecordingSink

VECTOR = [DIMENSION**-0.5] * DIMENSION
TOKENS = np.ones((3, 2 * DIMENSION), np.int8)


class House:
    """A hall whose verdict trusts everything that no gate refuses; its embedder finds all questions alike."""

    def __init__(self) -> None:
        self.hall = Hall(cache=True)
        self.hall.embedder.id = "model@1"
        self.hall.store.verdict = LearnedVerdict(file(bias=8.0))
        self.hall.join("a")
        self._embedded = 0

    def ask(self, prompt: str, **changes: object) -> tuple[Exchange | None, RecordingSink]:
        """Ask, and let the embedder answer all that it was asked."""
        found = self.hall.ask(prompt, **{"body": {"prompt": prompt}, **changes})
        self.embed()
        return found

    def embed(self) -> None:
        for asked in self.hall.embedder.asked[self._embedded :]:
            self._embedded += 1
            asked.token_vectors = TOKENS
            asked.answer(*VECTOR)


def test_a_question_in_other_words_joins_even_where_nothing_is_cached_yet() -> None:
    house = House()
    _, first = house.ask("who is Ann")
    _, other = house.ask("who's Ann")
    assert len(house.hall.calls) == 1
    house.hall.calls[0].answer("a queen")
    assert first.text == other.text == "a queen"
    assert first.outcome is not None and first.outcome.cache == "miss"
    outcome, opening = other.outcome, other.openings[0]
    assert outcome is not None and outcome.cache == opening.cache == "joined"
    assert outcome.similarity is not None and outcome.similarity > 0.99
    assert opening.probability is not None and opening.probability > 0.98


def test_the_opposite_asks_for_itself() -> None:
    house = House()
    house.ask("who is Ann")
    house.ask("who is not Ann")
    assert len(house.hall.calls) == 2


def test_nobody_joins_what_is_over_and_the_entry_answers_instead() -> None:
    house = House()
    house.ask("who is Ann")
    house.hall.calls[0].answer("a queen")
    house.embed()
    _, later = house.ask("who's Ann")
    assert later.outcome is not None and later.outcome.cache == "semantic" and later.text == "a queen"
    lane = house.hall.dispatcher.cache
    assert lane is not None and not lane.running.holds(lane.keys(house.hall.request("x"), "m").scope)


def test_a_question_is_embedded_once_however_it_is_used() -> None:
    house = House()
    house.ask("who is Ann")
    house.hall.calls[0].answer("a queen")
    assert [asked.text for asked in house.hall.embedder.asked] == ["who is Ann"]


def test_an_answer_that_comes_before_the_embedding_is_kept_all_the_same() -> None:
    house = House()
    house.hall.ask("who is Ann", body={"prompt": "who is Ann"})
    house.hall.calls[0].answer("a queen")
    house.embed()
    _, later = house.ask("who's Ann")
    assert later.outcome is not None and later.outcome.cache == "semantic"


def test_tenants_never_join_each_other() -> None:
    house = House()
    house.ask("who is Ann", tenant="one")
    house.ask("who's Ann", tenant="two")
    assert len(house.hall.calls) == 2


def test_only_who_really_joins_counts_as_served() -> None:
    house = House()
    lane = house.hall.dispatcher.cache
    assert lane is not None
    lane.trials = Trials(Bound(0.02, BY_WORDS), house.hall.clock)
    house.ask("who is Ann")
    house.ask("who's Ann", between_tokens_s=1.0)
    assert len(house.hall.calls) == 2 and lane.trials.bound.served == 0
    _, joined = house.ask("Who is Ann")
    house.hall.calls[0].answer("a queen")
    assert joined.text == "a queen" and lane.trials.bound.served == 1
