"""The store with a learned verdict: what it compares comes, counts and leaves with the entry."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

from balancer.cache.keys import CacheKeys
from balancer.cache.learned import LearnedVerdict
from balancer.cache.limits import CacheLimits, vector_bytes
from balancer.cache.reading import make_reading
from balancer.cache.store import LEAST_SIMILARITY, CacheStore
from balancer.cache.vectors import Vector
from tests.balancer.cache.test_store import NOW, answer, ask
from tests.balancer.cache.verdicts import DIMENSION, file, read

SURE, UNSURE = LearnedVerdict(file(bias=5.0)), LearnedVerdict(file(bias=0.0))
NEAR = np.full(DIMENSION, DIMENSION**-0.5, np.float32)


def at(similarity: float) -> Vector:
    """A unit vector at this cosine from ``NEAR``."""
    away = np.zeros(DIMENSION, np.float32)
    away[:2] = np.sqrt(0.5), -np.sqrt(0.5)
    return np.asarray(similarity * NEAR + (1 - similarity**2) ** 0.5 * away, np.float32)


def learn(store: CacheStore, text: str, vector: Vector = NEAR, *, unread: bool = False) -> CacheKeys:
    keys = ask(text)
    assert store.put(keys, answer(keys, f"To {text}"), vector, NOW, None if unread else read(SURE, text))
    return keys


def test_the_learned_verdict_serves_far_below_the_simple_ones_threshold_and_tells_its_probability() -> None:
    store = CacheStore(verdict=SURE)
    learn(store, "Who is Ann?", at(0.7))
    hit = store.lookup_near(ask("Who's Ann?"), NEAR, NOW, read(SURE, "Who's Ann?"))
    assert hit is not None and hit.kind == "semantic"
    assert hit.similarity == pytest.approx(0.7, abs=1e-3) and hit.probability == pytest.approx(0.9933, abs=1e-3)


@pytest.mark.parametrize(
    ("verdict", "known", "asked", "reason"),
    [
        (SURE, "What is 17 times 23?", "What is 17 times 24?", "numbers"),
        (SURE, "Is it safe to eat?", "Is it not safe to eat?", "polarity"),
        (UNSURE, "Who is Ann?", "Who's Ann?", "probability"),
    ],
)
def test_what_it_refuses_is_counted_by_its_reason_however_near(
    verdict: LearnedVerdict, known: str, asked: str, reason: str
) -> None:
    store = CacheStore(verdict=verdict)
    learn(store, known)
    assert store.lookup_near(ask(asked), NEAR, NOW, read(verdict, asked)) is None
    assert store.counters.near_refusals == {reason: 1}


def test_a_refusal_of_the_nearest_does_not_hide_the_next() -> None:
    store = CacheStore(verdict=SURE)
    learn(store, "Is it not safe to eat?")
    learn(store, "Is it safe to eat now?", at(0.8))
    hit = store.lookup_near(ask("Is it safe to eat?"), NEAR, NOW, read(SURE, "Is it safe to eat?"))
    assert hit is not None and hit.entry.text == "To Is it safe to eat now?"
    assert store.counters.near_refusals == {"polarity": 1}


def test_what_is_far_is_not_judged() -> None:
    store = CacheStore(verdict=SURE)
    learn(store, "Who is Ann?", at(LEAST_SIMILARITY - 0.01))
    learn(store, "Who was Ann?", at(LEAST_SIMILARITY - 0.02))
    assert store.lookup_near(ask("Who's Ann?"), NEAR, NOW, read(SURE, "Who's Ann?")) is None
    assert store.counters.near_refusals == {"similarity": 1}


def test_an_entry_without_a_reading_does_not_fall_back_to_the_simple_verdict() -> None:
    store = CacheStore(verdict=SURE)
    learn(store, "Who is Ann?", unread=True)
    assert store.lookup_near(ask("Who is Ann ?"), NEAR, NOW, read(SURE, "Who is Ann ?")) is None
    assert store.counters.near_refusals == {"unread": 1}


def test_without_readings_the_simple_verdict_judges() -> None:
    store = CacheStore(verdict=SURE)
    learn(store, "Who is Ann?", at(0.96), unread=True)
    hit = store.lookup_near(ask("Who is Ann ?"), NEAR, NOW)
    assert hit is not None and hit.probability is None
    assert store.lookup_near(ask("Who is Ann ?"), at(0.8), NOW) is None


def test_a_reading_that_comes_late_counts_and_leaves_with_its_entry() -> None:
    store, keys = CacheStore(verdict=SURE), ask("Who is Ann?")
    reading = read(SURE, "Who is Ann?")
    store.put(keys, answer(keys), None, NOW)
    assert store.attach(keys, NEAR, NOW, reading)
    assert store.size_bytes == answer(keys).size_bytes + vector_bytes(DIMENSION) + reading.size_bytes
    assert store.lookup_near(ask("Who's Ann?"), NEAR, NOW, read(SURE, "Who's Ann?")) is not None
    store.purge()
    assert store.size_bytes == 0


def test_a_full_scope_lets_go_of_the_reading_with_the_vector() -> None:
    store = CacheStore(CacheLimits(scope_rows_max=1), SURE)
    first, last = learn(store, "Who is Ann?"), learn(store, "Who is Bob?")
    held = vector_bytes(DIMENSION) + read(SURE, "Who is Bob?").size_bytes
    texts = [answer(keys, f"To {text}") for keys, text in ((first, "Who is Ann?"), (last, "Who is Bob?"))]
    assert store.size_bytes == sum(entry.size_bytes for entry in texts) + held


def test_readings_weigh_no_more_than_they_count() -> None:
    count, dimension, width = 400, 384, 128
    rng = np.random.default_rng(1)
    questions = [ask(f"What about the thing of {n}?") for n in range(count)]
    store = CacheStore(verdict=SURE)
    gc.collect()
    tracemalloc.start()
    for number, keys in enumerate(questions):
        vector = rng.standard_normal(dimension).astype(np.float32)
        tokens = rng.standard_normal((number % 32 + 1, width)).astype(np.float32)
        store.put(keys, answer(keys), vector, NOW, make_reading(keys.text, vector, tokens))
    del questions, keys, vector, tokens
    gc.collect()
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.stats()["vectors"] == count
    assert 0.5 * store.size_bytes < allocated < store.size_bytes
