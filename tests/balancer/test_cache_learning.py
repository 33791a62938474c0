from __future__ import annotations

import random

from balancer.cache.judge_error import BY_WORDS, UNMEASURED, JudgeError
from balancer.cache_learning import learn_from_traffic
from balancer.config import Config
from balancer.exchange.cache_lane import CacheLane
from tests.fakes import Hall


def lane(config: Config, *, cache: bool = True) -> CacheLane | None:
    hall = Hall(cache=cache)
    learn_from_traffic(config, hall.dispatcher, random.Random(0), lambda: "1")
    return hall.dispatcher.cache


def test_by_default_the_bound_hears_of_reports_and_nobody_is_asked() -> None:
    found = lane(Config())
    assert found is not None and found.trials is not None and found.on_wrong == found.trials.bound.reported
    assert found.controls is None and not found.trials.shadow
    assert found.trials.bound.judge == BY_WORDS and found.trials.bound.allowed == 0.02


def test_checks_and_their_judge_are_as_configured() -> None:
    found = lane(Config(cache_check_share=0.05, cache_judge="m", cache_judge_error="0.01,0.02,300", cache_shadow=True))
    assert found is not None and found.trials is not None
    assert found.controls is found.trials.checks is not None and found.trials.shadow
    assert found.trials.bound.judge == JudgeError(0.01, 0.02, 300)
    assert found.trials.stats()["checking"]["judge"] == "m"


def test_a_model_whose_errors_nobody_told_is_not_trusted_much() -> None:
    found = lane(Config(cache_check_share=0.01, cache_judge="m"))
    assert found is not None and found.trials is not None and found.trials.bound.judge == UNMEASURED


def test_without_near_answers_there_is_nothing_to_learn() -> None:
    found = lane(Config(embedder=False))
    assert found is not None and found.trials is None
    assert lane(Config(), cache=False) is None
