from __future__ import annotations

import gc
import math
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import CacheKeys, derive
from balancer.cache.limits import CacheLimits, vector_bytes
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore

NOW = 1000.0
EAST = np.array([1.0, 0.0], np.float32)
NORTH = np.array([0.0, 1.0], np.float32)
ALMOST_EAST = np.array([0.99, 0.14], np.float32)


def ask(text: str = "How tall is it?", *, tenant: str = "t", model: str = "m", **fields: Any) -> CacheKeys:
    messages = [{"role": "user", "content": text}]
    return derive({"messages": messages, **fields}, tenant=tenant, model=model, endpoint="chat", embedder_id="e")


def answer(
    keys: CacheKeys, text: str = "Very tall.", *, ttl_s: float = math.inf, finish: str = "stop", tokens: int | None = 3
) -> Entry:
    return entry_for(
        keys,
        text=text,
        finish_reason=finish,
        answered_by="m",
        backend="b",
        prompt_tokens=5,
        completion_tokens=tokens,
        now=NOW,
        ttl_s=ttl_s,
    )


def test_a_stored_answer_answers_the_same_request() -> None:
    store, keys = CacheStore(), ask()
    assert store.lookup_exact(keys, NOW) is None
    assert store.put(keys, answer(keys), None, NOW)
    hit = store.lookup_exact(ask(), NOW)
    assert hit is not None
    assert (hit.kind, hit.entry.text, hit.similarity) == ("exact", "Very tall.", None)
    assert store.counters.hits_exact == 1


def test_a_near_question_is_answered_with_its_similarity() -> None:
    store, keys = CacheStore(), ask("How tall is the tower?")
    store.put(keys, answer(keys), EAST, NOW)
    near = ask("What height has the tower?")
    assert store.has_neighbours(near)
    assert store.lookup_exact(near, NOW) is None
    hit = store.lookup_near(near, ALMOST_EAST, NOW)
    assert hit is not None
    assert (hit.kind, hit.entry.text) == ("semantic", "Very tall.")
    assert hit.similarity == pytest.approx(0.99, abs=0.001)
    assert store.counters.hits_semantic == 1


def test_the_next_nearest_answers_when_the_verdict_refuses_the_nearest() -> None:
    store = CacheStore()
    for text, vector in (("Is it not safe?", EAST), ("Is it safe?", ALMOST_EAST)):
        keys = ask(text)
        store.put(keys, answer(keys, text), vector, NOW)
    hit = store.lookup_near(ask("Is it safe now?"), EAST, NOW)
    assert hit is not None
    assert hit.entry.text == "Is it safe?"
    assert store.counters.near_refusals == {"negation": 1}


def test_far_questions_are_refused_once_a_lookup() -> None:
    store = CacheStore()
    for text in ("one thing?", "another thing?"):
        keys = ask(text)
        store.put(keys, answer(keys), EAST, NOW)
    assert store.lookup_near(ask("x"), NORTH, NOW) is None
    assert store.counters.near_refusals == {"similarity": 1}


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "another"},
        {"model": "another"},
        {"top_p": 0.5},
        {"temperature": 0.2},
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "How tall is it?"}]},
        {"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "How tall is it?"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nothing_crosses_a_scope(other: dict[str, Any]) -> None:
    store, keys = CacheStore(), ask()
    store.put(keys, answer(keys), EAST, NOW)
    foreign = ask(**other)
    assert store.lookup_exact(foreign, NOW) is None
    assert not store.has_neighbours(foreign)
    assert store.lookup_near(foreign, EAST, NOW) is None


@pytest.mark.parametrize("finish", ["length", "cancelled", "error", "content_filter", "tool_calls", ""])
def test_only_complete_answers_are_stored(finish: str) -> None:
    store, keys = CacheStore(), ask()
    assert not store.put(keys, answer(keys, finish=finish), EAST, NOW)
    assert (len(store), store.counters.store_refusals) == (0, {"incomplete": 1})


def test_a_warm_request_is_never_stored() -> None:
    store = CacheStore()
    assert not store.put(ask(temperature=1.0), answer(ask()), EAST, NOW)
    assert (len(store), store.counters.store_refusals) == (0, {"uncacheable": 1})


def test_an_entry_goes_under_no_key_but_its_own() -> None:
    store = CacheStore()
    assert not store.put(ask("another"), answer(ask()), None, NOW)
    assert len(store) == 0


def test_an_empty_an_expired_and_a_huge_answer_are_refused() -> None:
    store, keys = CacheStore(CacheLimits(max_entry_bytes=10_000)), ask()
    assert not store.put(keys, answer(keys, ""), None, NOW)
    assert not store.put(keys, answer(keys, ttl_s=0), None, NOW)
    assert not store.put(keys, answer(keys, "x" * 10_000), None, NOW)
    assert store.counters.store_refusals == {"empty": 1, "expired": 1, "too_large": 1}


def test_a_new_answer_takes_the_place_of_the_old_one_and_its_vector() -> None:
    store, keys = CacheStore(), ask()
    store.put(keys, answer(keys, "old"), EAST, NOW)
    store.put(keys, answer(keys, "new"), None, NOW)
    hit = store.lookup_exact(keys, NOW)
    assert hit is not None
    assert hit.entry.text == "new"
    assert not store.has_neighbours(keys)
    assert (len(store), store.counters.evictions) == (1, 0)


def test_an_answer_that_is_too_long_for_the_request_does_not_serve() -> None:
    store, keys = CacheStore(), ask("How tall is the tower?")
    store.put(keys, answer(keys, tokens=3), EAST, NOW)
    assert store.lookup_exact(ask("How tall is the tower?", max_tokens=3), NOW) is not None
    assert store.lookup_exact(ask("How tall is the tower?", max_tokens=2), NOW) is None
    assert store.lookup_near(ask("What height has it?", max_tokens=3), EAST, NOW) is not None
    assert store.lookup_near(ask("What height has it?", max_tokens=2), EAST, NOW) is None
    assert store.counters.near_refusals == {"too_long": 1}


def test_an_expired_entry_serves_nobody_and_leaves() -> None:
    store, keys, other = CacheStore(), ask("one?"), ask("two?")
    store.put(keys, answer(keys, ttl_s=10), EAST, NOW)
    store.put(other, answer(other, ttl_s=10), EAST, NOW)
    assert store.lookup_exact(keys, NOW + 9.9) is not None
    assert store.lookup_exact(keys, NOW + 10) is None
    assert store.lookup_near(ask("three?"), EAST, NOW + 10) is None
    assert (len(store), store.size_bytes, store.counters.expirations) == (0, 0, 2)
    assert store.stats()["vectors"] == store.stats()["scopes"] == 0


def test_expired_entries_leave_without_being_looked_up() -> None:
    store = CacheStore()
    for number in range(20):
        keys = ask(f"{number}?")
        store.put(keys, answer(keys, ttl_s=10 if number < 15 else 100), EAST, NOW)
    assert store.expire(NOW + 5) == 0
    assert [store.expire(NOW + 50, limit=5) for _ in range(5)] == [0, 5, 5, 5, 0]
    assert (len(store), store.counters.expirations) == (5, 15)
    assert store.expire(NOW + 100) == 5


def test_an_entry_renewed_does_not_leave_at_its_old_time() -> None:
    store, keys = CacheStore(), ask()
    store.put(keys, answer(keys, ttl_s=10), None, NOW)
    store.put(keys, answer(keys, ttl_s=100), None, NOW)
    assert store.expire(NOW + 50) == 0
    assert store.lookup_exact(keys, NOW + 50) is not None


def test_a_vector_may_come_later_and_only_once() -> None:
    store, keys = CacheStore(), ask("How tall is the tower?")
    store.put(keys, answer(keys), None, NOW)
    before = store.size_bytes
    assert store.attach(keys, EAST, NOW)
    assert store.size_bytes == before + vector_bytes(2)
    assert not store.attach(keys, EAST, NOW)
    assert store.lookup_near(ask("What height has it?"), EAST, NOW) is not None


def test_a_vector_without_its_entry_is_dropped() -> None:
    store, keys = CacheStore(), ask()
    assert not store.attach(keys, EAST, NOW)
    store.put(keys, answer(keys), None, NOW)
    store.purge()
    assert not store.attach(keys, EAST, NOW)
    assert store.stats()["vectors"] == 0


@pytest.mark.parametrize("bad", [np.zeros(2), np.array([np.nan, 1]), np.ones(3), np.ones((1, 2))])
def test_a_bad_vector_costs_the_near_tier_only(bad: np.ndarray) -> None:
    store, first, keys = CacheStore(), ask("first?"), ask("second?")
    store.put(first, answer(first), EAST, NOW)
    assert store.put(keys, answer(keys), bad, NOW)
    assert store.lookup_exact(keys, NOW) is not None
    assert store.lookup_near(keys, bad, NOW) is None
    assert (store.stats()["vectors"], store.counters.vector_refusals) == (1, 1)


def test_a_full_scope_takes_new_vectors_for_old_ones_and_keeps_the_entries() -> None:
    store = CacheStore(CacheLimits(scope_rows_max=3))
    for number in range(5):
        keys = ask(f"question {number}?")
        store.put(keys, answer(keys), EAST, NOW)
    assert (len(store), store.stats()["vectors"]) == (5, 3)
    assert store.size_bytes == 5 * answer(ask("question 0?")).size_bytes + 3 * vector_bytes(2)
    newest = store.lookup_near(ask("question 4 ?"), EAST, NOW)
    assert newest is not None
    assert newest.entry.question == "question 4?"


@pytest.mark.parametrize(
    ("which", "left"),
    [({}, 0), ({"tenant": "a"}, 2), ({"model": "m"}, 1), ({"tenant": "a", "model": "m"}, 3), ({"tenant": "z"}, 4)],
)
def test_purge_takes_what_is_named_and_its_vectors(which: dict[str, str], left: int) -> None:
    store = CacheStore()
    for tenant, model, text in (("a", "m", "1"), ("a", "n", "1"), ("b", "m", "1"), ("c", "m", "1")):
        keys = ask(text, tenant=tenant, model=model)
        store.put(keys, answer(keys), EAST, NOW)
    assert store.purge(Purge(**which)) == 4 - left
    assert len(store) == store.stats()["vectors"] == store.stats()["scopes"] == left
    assert store.counters.purged == 4 - left
    assert (store.size_bytes == 0) == (left == 0)


def test_how_a_request_ended_is_counted() -> None:
    store = CacheStore()
    store.count_miss()
    store.count_miss("embedder_busy")
    store.count_skip("bypass")
    stats = store.stats()
    assert (stats["misses"], stats["near_skips"], stats["skips"]) == (2, {"embedder_busy": 1}, {"bypass": 1})


@pytest.mark.parametrize("scopes", [1, 400], ids=["one scope", "a scope each"])
def test_entries_weigh_no_more_than_they_count(scopes: int) -> None:
    """The bound in bytes is one on memory: what is counted covers what is allocated."""
    count, dimension = 400, 384
    rng = np.random.default_rng(1)
    questions = [ask(f"What about the thing of {n}?", top_p=n % scopes / scopes) for n in range(count)]
    vectors = rng.standard_normal((count, dimension)).astype(np.float32)
    store = CacheStore()
    gc.collect()
    tracemalloc.start()
    for number, keys in enumerate(questions):
        store.put(keys, answer(keys, "word " * (20 + number % 50), ttl_s=100.0), vectors[number].copy(), NOW)
    del questions, keys
    gc.collect()
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) == store.stats()["vectors"] == count
    assert 0.5 * store.size_bytes < allocated < store.size_bytes


def test_what_hits_saved_is_counted() -> None:
    store, keys = CacheStore(), ask("How tall is the tower?")
    store.put(keys, replace(answer(keys, tokens=7), made_s=1.5), EAST, NOW)
    store.lookup_exact(keys, NOW)
    store.lookup_near(ask("What height has the tower?"), ALMOST_EAST, NOW)
    store.count_miss()
    stats = store.stats()
    assert stats["saved"] == {"tokens": 14, "seconds": 3.0}
    assert stats["hit_rate"] == pytest.approx(2 / 3, abs=1e-3)
