"""Puts together what learns from near answers: the bound, shadow mode, the checks and their judge, as configured."""

from __future__ import annotations

from collections.abc import Callable

from balancer.cache.bound import Bound
from balancer.cache.judge_error import BY_WORDS, UNMEASURED, JudgeError, judge_error
from balancer.config import Config
from balancer.exchange.checking import Checks
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.judging import Judge, ModelJudge, WordsJudge
from balancer.exchange.trials import Trials
from balancer.rng import Rng


def learn_from_traffic(config: Config, dispatcher: Dispatcher, rng: Rng, new_id: Callable[[], str]) -> None:
    """Give the dispatcher's cache its bound; nothing where there are no near answers. ``new_id``: of requests."""
    lane = dispatcher.cache
    if lane is None or not config.embedder:
        return
    bound = Bound(config.cache_wrong_share, _error_of(config))
    trials = Trials(bound, dispatcher.clock, shadow=config.cache_shadow)
    judge: Judge = WordsJudge() if config.cache_judge is None else ModelJudge(dispatcher, config.cache_judge)
    checks = Checks(
        bound, dispatcher, judge, share=config.cache_check_share, rng=rng, new_id=lambda: f"check-{new_id()}"
    )
    trials.checks = checks
    lane.trials = trials
    lane.on_wrong = bound.reported
    if lane.keeper is not None:
        lane.keeper.learn(trials)
    if config.cache_check_share:
        lane.controls = checks
        dispatcher.on_wait = checks.preempt


def _error_of(config: Config) -> JudgeError:
    if config.cache_judge_error is not None and (told := judge_error(config.cache_judge_error)) is not None:
        return told
    return BY_WORDS if config.cache_judge is None else UNMEASURED
