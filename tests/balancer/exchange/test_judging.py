from __future__ import annotations

import pytest

from balancer.cache.answers import COMPARED_CHARS_MAX
from balancer.cache.observations import EQUAL, RIGHT, WRONG
from balancer.exchange.judging import UNDECIDED, ModelJudge, Pair, WordsJudge
from tests.fakes import Hall


def pair(known: str, fresh: str) -> Pair:
    return Pair("t", "What is the capital of France?", known, fresh)


@pytest.mark.parametrize(("fresh", "found"), [("paris", RIGHT), ("Lyon", WRONG)])
def test_words_tell_short_answers_apart(fresh: str, found: int) -> None:
    judge, heard = WordsJudge(), list[int | None]()
    assert judge.takes("Paris") and not judge.takes("It is a long story, which begins with the Celts by the river.")
    assert judge.judge("1", pair("Paris.", fresh), heard.append) is None
    assert heard == [found] and judge.free and judge.ready()


class Judging:
    def __init__(self) -> None:
        self.hall = Hall()
        self.hall.join("a", slots=1)
        self.judge = ModelJudge(self.hall.dispatcher, "m")
        self.heard: list[int | None] = []

    def ask(self, known: str = "It is Paris.", fresh: str = "Paris it is, on the Seine.") -> None:
        self.background = self.judge.judge("1", pair(known, fresh), self.heard.append)


@pytest.mark.parametrize(("reply", "found"), [("Yes.", RIGHT), ("no", WRONG), ("perhaps", UNDECIDED)])
def test_a_model_is_asked_at_temperature_zero(reply: str, found: int | None) -> None:
    judging = Judging()
    judging.ask()
    request = judging.hall.calls[0].request
    assert request.body["temperature"] == 0 and request.cache == "bypass" and request.tenant == "t"
    assert "on the Seine" in request.body["messages"][0]["content"]
    judging.hall.calls[0].answer(reply)
    assert judging.heard == [found]


def test_equal_words_need_no_model() -> None:
    judging = Judging()
    judging.ask("It is Paris.", "it is paris")
    assert judging.heard == [EQUAL] and not judging.hall.calls


def test_a_model_that_is_busy_or_gone_can_not_say() -> None:
    judging = Judging()
    judging.hall.ask()
    assert not judging.judge.ready()
    judging.ask()
    assert judging.heard == [None]


def test_what_is_too_long_to_compare_is_not_judged() -> None:
    judging = Judging()
    long = "x" * (COMPARED_CHARS_MAX + 1)
    assert not judging.judge.takes(long)
    judging.ask("short", long)
    assert judging.heard == [None] and not judging.hall.calls


def test_a_judge_that_fails_can_not_say_and_one_that_is_cancelled_is_not_heard() -> None:
    judging = Judging()
    judging.ask()
    judging.hall.calls[0].finish("length")
    judging.ask()
    assert judging.background is not None
    judging.background.cancel()
    assert judging.heard == [None] and judging.hall.in_flight() == 0
