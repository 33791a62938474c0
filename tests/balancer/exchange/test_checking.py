from __future__ import annotations

import pytest

from balancer.cache.bound import Bound
from balancer.cache.entry import Entry, entry_for
from balancer.cache.hit import Hit
from balancer.cache.judge_error import BY_WORDS, JudgeError
from balancer.cache.keys import CacheKeys
from balancer.exchange.checking import (
    CONTROL_WAITING_MAX,
    CONTROLS_MIN,
    RUNNING_MAX,
    UNDECIDED_MAX,
    WAITING_MAX,
    WAITING_S,
    Checks,
)
from balancer.exchange.judging import Judge, ModelJudge, WordsJudge
from tests.fakes import Hall


def entry(text: str = "Paris", number: int = 0) -> Entry:
    keys = CacheKeys("local", "m", b"%016d" % number, b"s", "capital of France", None, None, None)
    return entry_for(
        keys,
        text=text,
        finish_reason="stop",
        answered_by="m",
        backend="a",
        prompt_tokens=1,
        completion_tokens=1,
        now=0.0,
    )


class Draw:
    """A lot that always falls as the test says."""

    def __init__(self, falls: float = 0.0) -> None:
        self.falls = falls

    def random(self) -> float:
        return self.falls


class Checking:
    """A hall with checks in it; every hit is drawn."""

    def __init__(
        self, *, slots: int = 4, model_judge: bool = False, share: float = 0.05, judge_error: JudgeError = BY_WORDS
    ) -> None:
        self.hall = Hall()
        self.hall.join("a", slots=slots)
        self.bound = Bound(0.02, judge_error)
        self.lot = Draw()
        judge: Judge = ModelJudge(self.hall.dispatcher, "m") if model_judge else WordsJudge()
        self.checks = Checks(
            self.bound, self.hall.dispatcher, judge, share=share, rng=self.lot, new_id=lambda: "a check"
        )
        self.hall.dispatcher.on_wait = self.checks.preempt

    def hit(self, text: str = "Paris", number: int = 0) -> None:
        hit = Hit("semantic", entry(text, number), 0.97, 0.99)
        self.checks.served(self.hall.request("capital of france?"), "m", "capital of france?", hit)

    def control(self) -> None:
        self.checks.equal(self.hall.request(), "m", "capital of France", Hit("exact", entry(), None))

    def withheld(self, fresh: str, *, as_served: bool = False) -> None:
        hit = Hit("semantic", entry(), 0.97, 0.99)
        self.checks.withheld(self.hall.request(), "m", "capital of france?", hit, fresh, as_served=as_served)

    def tick(self) -> None:
        self.checks.advance(self.hall.clock.now)

    def answer(self, text: str) -> None:
        self.hall.upstream.running[0].answer(text)

    @property
    def found(self) -> dict[str, int]:
        return dict(self.checks.counts)

    @property
    def learned(self) -> dict[str, int]:
        return {name: count for name, count in self.bound.stats()["checks"]["served"].items() if count}


def test_a_served_answer_is_compared_with_a_backends_own() -> None:
    checking = Checking()
    for text in ("paris.", "Lyon"):
        checking.hit()
        assert not checking.hall.upstream.running
        checking.tick()
        asked = checking.hall.upstream.running[0].request
        assert (asked.cache, asked.id, asked.body) == ("refresh", "a check", {"prompt": "capital of france?"})
        checking.answer(text)
    assert checking.learned == {"right": 1, "wrong": 1} and checking.found == {"done": 2}
    assert checking.hall.in_flight() == 0


def test_only_the_share_that_the_lot_says_is_checked() -> None:
    checking = Checking(share=0.05)
    checking.lot.falls = 0.06
    checking.hit()
    checking.lot.falls = 0.02
    checking.control()
    checking.tick()
    assert not checking.hall.calls
    checking.hit()
    checking.tick()
    assert len(checking.hall.calls) == 1


def test_a_check_waits_until_a_slot_is_idle_and_not_for_ever() -> None:
    checking = Checking(slots=1)
    checking.hall.ask()
    checking.hit()
    checking.tick()
    assert len(checking.hall.calls) == 1
    checking.answer("x")
    checking.tick()
    checking.answer("Paris")
    assert checking.found == {"done": 1}
    checking.hit()
    checking.hall.clock.now += WAITING_S + 1
    checking.tick()
    assert checking.found["too_old"] == 1


def test_whoever_has_to_wait_gets_the_slot_of_a_check_at_once() -> None:
    checking = Checking(slots=1)
    checking.hit()
    checking.tick()
    _, sink = checking.hall.ask("a client's")
    assert checking.found == {"preempted": 1}
    checking.answer("hello")
    assert sink.text == "hello" and checking.hall.in_flight() == 0


def test_few_run_at_a_time_and_few_wait() -> None:
    checking = Checking()
    for number in range(WAITING_MAX + 5):
        checking.hit(number=number)
    checking.tick()
    assert len(checking.hall.calls) == RUNNING_MAX
    assert checking.found == {"no_room": 5}
    assert checking.checks.stats()["waiting"] == WAITING_MAX - RUNNING_MAX


def test_a_backend_that_fails_teaches_nothing() -> None:
    checking = Checking()
    checking.hit()
    checking.tick()
    checking.hall.upstream.running[0].finish("length")
    assert checking.found == {"failed": 1} and checking.learned == {}


def test_an_answer_that_words_cannot_judge_is_not_asked_for() -> None:
    checking = Checking()
    checking.hit("It is a long story that begins with the Celts by the river, long ago.")
    checking.tick()
    assert not checking.hall.calls and checking.found == {"not_comparable": 1}


def test_a_model_judges_on_an_idle_slot_after_the_backend() -> None:
    checking = Checking(slots=1, model_judge=True)
    checking.hit()
    checking.tick()
    checking.answer("It is Paris, of course.")
    checking.tick()
    assert "It is Paris, of course." in checking.hall.upstream.running[0].request.body["messages"][0]["content"]
    checking.answer("yes")
    assert checking.learned == {"right": 1}
    checking.hit()
    checking.tick()
    checking.answer("Lyon, I think.")
    checking.tick()
    checking.answer("I cannot say")
    assert checking.found == {"done": 1, "undecided": 1}


def test_a_model_that_cannot_judge_is_asked_less_often_until_it_does(caplog: pytest.LogCaptureFixture) -> None:
    checking = Checking(slots=1, model_judge=True)
    checking.lot.falls = 0.01

    def judged(said: str) -> bool:
        """Whether a hit was checked, and by whom it was judged with these words."""
        checking.hit()
        checking.tick()
        if not checking.hall.upstream.running:
            return False
        checking.answer("It is Paris, of course.")
        checking.tick()
        checking.answer(said)
        return True

    assert all(judged("Once upon a time") for _ in range(UNDECIDED_MAX))
    assert not judged("yes") and caplog.text.count("neither yes nor no") == 1
    checking.lot.falls = 0.001
    assert judged("yes") and checking.learned == {"right": 1}
    checking.lot.falls = 0.01
    assert judged("no") and caplog.text.count("neither yes nor no") == 1


def test_a_judge_under_way_is_preempted_too() -> None:
    checking = Checking(slots=1, model_judge=True)
    checking.hit()
    checking.tick()
    checking.answer("It is Lyon.")
    checking.tick()
    checking.hall.ask("a client's")
    assert checking.found == {"preempted": 1} and len(checking.hall.upstream.running) == 1


def test_what_was_withheld_is_compared_without_asking_again_and_counts_apart() -> None:
    checking = Checking(share=0.0)
    checking.withheld("paris")
    checking.tick()
    assert not checking.hall.calls and checking.learned == {}
    assert checking.bound.stats()["checks"]["withheld"]["right"] == 1
    checking.withheld("Lyon", as_served=True)
    checking.tick()
    assert checking.learned == {"wrong": 1}


def test_second_answers_to_equal_questions_measure_the_judge() -> None:
    checking = Checking(judge_error=JudgeError(0.0, 0.1, 20))
    for text in ("Paris", "Lyon", "Paris", "Paris"):
        checking.control()
        checking.tick()
        assert checking.hall.upstream.running[0].request.cache == "bypass"
        checking.answer(text)
    assert checking.bound.judge == JudgeError(0.0, (0.1 * 20 + 1) / 24, 24)
    assert checking.learned == {} and checking.checks.stats()["controls"] == {"right": 3, "wrong": 1}


def test_what_is_only_assumed_of_the_judge_holds_until_enough_controls_speak() -> None:
    checking = Checking()
    for at in range(CONTROLS_MIN):
        assert checking.bound.judge == BY_WORDS
        checking.control()
        checking.tick()
        checking.answer("Paris" if at % 5 else "Lyon")
    assert checking.bound.judge == JudgeError(0.0, 0.2, CONTROLS_MIN)


def test_controls_make_way_for_checks() -> None:
    checking = Checking()
    for _ in range(WAITING_MAX):
        checking.control()
    assert checking.checks.stats()["waiting"] == CONTROL_WAITING_MAX


def test_who_wants_a_cached_answer_or_none_costs_no_backend_anything() -> None:
    checking = Checking()
    hit = Hit("semantic", entry(), 0.97, 0.99)
    checking.checks.served(checking.hall.request(cache="only"), "m", "capital of france?", hit)
    checking.checks.equal(checking.hall.request(cache="only"), "m", "capital of france?", hit)
    checking.tick()
    assert not checking.hall.calls


def test_a_daemon_that_stops_waits_for_no_check() -> None:
    checking = Checking()
    for number in range(4):
        checking.hit(number=number)
    checking.tick()
    checking.hall.dispatcher.stop()
    checking.tick()
    assert (checking.hall.dispatcher.active, checking.checks.stats()["waiting"]) == (0, 0)
    assert checking.found == {"stopped": RUNNING_MAX}


def test_what_controls_told_of_a_judge_is_known_to_the_next_run() -> None:
    first, again, other = Checking(), Checking(), Checking(model_judge=True)
    for _ in range(CONTROLS_MIN):
        first.control()
        first.tick()
        first.answer("London")
    name, controls = first.checks.learned()
    assert (name, controls["wrong"]) == ("words", CONTROLS_MIN)
    for each in (again, other):
        each.checks.recall(name, controls)
    assert again.bound.judge == first.bound.judge != other.bound.judge
