from __future__ import annotations

from backend.engines.base import STUCK_MS, EngineLoad, Sampling


def test_an_engine_with_work_and_no_step_for_long_is_stuck() -> None:
    assert EngineLoad(running=1, ms_since_step=STUCK_MS).stuck
    assert EngineLoad(waiting=1, ms_since_step=STUCK_MS).stuck
    assert not EngineLoad(running=1, ms_since_step=STUCK_MS - 1).stuck
    assert not EngineLoad(ms_since_step=STUCK_MS).stuck


def test_what_a_request_leaves_open_is_the_models_to_say() -> None:
    sampling = Sampling()
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens) == (None,) * 4
