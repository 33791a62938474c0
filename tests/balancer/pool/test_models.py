from __future__ import annotations

from balancer.pool.backend import ModelInfo
from balancer.pool.models import REMEMBERED_MAX, ModelMemory

GPT2 = (ModelInfo("gpt2"),)


def test_a_model_never_offered_is_not_seen() -> None:
    assert not ModelMemory(600.0).seen("gpt2", 0.0)


def test_a_model_is_seen_while_any_backend_offers_it() -> None:
    memory = ModelMemory(600.0)
    memory.offer(GPT2)
    memory.offer(GPT2)
    memory.withdraw(GPT2, 10.0)
    assert memory.seen("gpt2", 10_000.0)


def test_a_model_is_seen_for_ten_minutes_after_its_last_backend_left() -> None:
    memory = ModelMemory(600.0)
    memory.offer(GPT2)
    memory.withdraw(GPT2, 10.0)
    assert memory.seen("gpt2", 610.0)
    assert not memory.seen("gpt2", 610.1)


def test_a_model_that_comes_back_starts_anew() -> None:
    memory = ModelMemory(600.0)
    memory.offer(GPT2)
    memory.withdraw(GPT2, 10.0)
    memory.offer(GPT2)
    memory.withdraw(GPT2, 500.0)
    assert memory.seen("gpt2", 1_000.0)


def test_a_model_named_twice_by_one_backend_counts_once() -> None:
    memory = ModelMemory(600.0)
    memory.offer(GPT2 + GPT2)
    memory.withdraw(GPT2 + GPT2, 10.0)
    assert not memory.seen("gpt2", 1_000.0)


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    memory = ModelMemory(600.0)
    for number in range(REMEMBERED_MAX + 1):
        model = (ModelInfo(f"model-{number}"),)
        memory.offer(model)
        memory.withdraw(model, 0.0)
    assert not memory.seen("model-0", 0.0)
    assert memory.seen("model-1", 0.0)
