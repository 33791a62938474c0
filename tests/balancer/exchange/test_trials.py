from __future__ import annotations

from balancer.cache.bound import Bound
from balancer.cache.judge_error import BY_WORDS
from balancer.cache.observations import WRONG
from balancer.exchange.checking import Checks
from balancer.exchange.judging import WordsJudge
from balancer.exchange.trials import Trials
from tests.balancer.exchange.test_checking import Draw
from tests.fakes import Hall, RecordingSink

NEAR = (0.6, 0.8)


class Near:
    """A hall whose cache knows one question, and is asked others near to it."""

    def __init__(self, *, shadow: bool = False, share: float = 0.0) -> None:
        self.hall = Hall(cache=True)
        self.hall.join("a")
        self.bound = Bound(0.02, BY_WORDS)
        self.lane = self.hall.dispatcher.cache
        assert self.lane is not None
        self.trials = self.lane.trials = Trials(self.bound, self.hall.clock, shadow=shadow)
        self.trials.checks = Checks(
            self.bound, self.hall.dispatcher, WordsJudge(), share=share, rng=Draw(), new_id=lambda: "a check"
        )
        self.lane.on_wrong = self.bound.reported
        if share:
            self.lane.controls = self.trials.checks
        self.miss("what is a lion", "a cat")
        self.embed()

    def embed(self) -> None:
        self.hall.embedder.asked[-1].answer(*NEAR)

    def miss(self, question: str, answer: str) -> RecordingSink:
        _, sink = self.hall.ask(question)
        self.hall.upstream.running[0].answer(answer)
        return sink

    def ask(self, question: str) -> RecordingSink:
        """A question whose vector is the known one's."""
        _, sink = self.hall.ask(question)
        self.embed()
        return sink

    def tick(self) -> None:
        self.trials.advance(self.hall.clock.now)

    def spoil(self) -> None:
        """Everything near was wrong so far."""
        entry = next(iter(self.hall.store._entries.entries()))
        for _ in range(60):
            self.bound.observe(entry, None, WRONG, self.hall.clock.now, served=True)


def test_a_near_answer_is_served_until_it_is_known_to_be_wrong() -> None:
    near = Near()
    assert near.ask("what's a lion").text == "a cat"
    assert near.trials.stats()["saved"] == {"tokens": 2, "seconds": 0.0}
    near.spoil()
    sink = near.ask("what then is a lion")
    assert sink.outcome is None and len(near.hall.upstream.running) == 1
    near.hall.upstream.running[0].answer("a big cat")
    assert sink.outcome is not None and sink.outcome.cache == "miss"
    assert near.hall.store.counters.near_refusals["bound"] == 1


def test_a_check_of_a_served_answer_is_kept_as_the_answer_to_its_own_question() -> None:
    near = Near(share=0.05)
    assert near.ask("what's a lion").outcome is not None
    near.tick()
    near.hall.upstream.running[0].answer("a dog")
    assert near.bound.stats()["checks"]["served"]["wrong"] == 1
    _, sink = near.hall.ask("what's a lion")
    assert sink.text == "a dog"


def test_withheld_answers_that_prove_right_come_back() -> None:
    near = Near()
    near.spoil()
    for number in range(200):
        sink = near.ask(f"what is a lion {number * '?'}")
        if sink.outcome is not None:
            break
        near.hall.upstream.running[0].answer("A cat.")
        near.tick()
    assert sink.outcome is not None and sink.outcome.cache == "semantic"
    stats = near.bound.stats()
    assert 5 < stats["withheld"] == stats["checks"]["withheld"]["right"] < 100
    assert not any(call.request.id == "a check" for call in near.hall.calls)


def test_shadow_mode_decides_compares_and_serves_nothing_near() -> None:
    near = Near(shadow=True)
    sink = near.ask("what's a lion")
    near.hall.upstream.running[0].answer("a cat")
    near.tick()
    assert sink.outcome is not None and (sink.outcome.cache, sink.openings[0].cache) == ("shadow", "shadow")
    stats = near.trials.stats()
    assert (stats["shadow"], stats["served"], stats["saved"]) == (True, 1, {"tokens": 2, "seconds": 0.0})
    assert stats["checks"]["served"]["right"] == 1 and stats["source"] == "checks"
    assert near.hall.store.counters.near_refusals == {"shadow": 1}
    _, equal = near.hall.ask("what is a lion")
    assert equal.outcome is not None and equal.outcome.cache == "exact"


def test_a_report_of_a_near_answer_reaches_the_bound() -> None:
    near = Near()
    sink = near.ask("what's a lion")
    assert sink.outcome is not None and sink.outcome.entry is not None and near.lane is not None
    near.lane.wrong(bytes.fromhex(sink.outcome.entry))
    assert near.bound.stats()["reports"] == 1


def test_the_status_tells_of_bound_and_checks() -> None:
    near = Near(share=0.05)
    assert near.lane is not None
    told = near.lane.stats()["bound"]
    assert told["checking"]["judge"] == "words" and not told["shadow"] and told["source"] == "none"


def test_an_equal_question_is_a_control() -> None:
    near = Near(share=0.05)
    near.hall.ask("what is a lion")
    near.tick()
    near.hall.upstream.running[0].answer("a cat")
    assert near.trials.stats()["checking"]["controls"] == {"right": 1}
