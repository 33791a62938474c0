"""After any sequence of changes the index holds exactly the store's vectors, and all bounds hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from balancer.cache.entry import ENTRY_OVERHEAD_BYTES, entry_for
from balancer.cache.keys import CacheKeys, derive
from balancer.cache.learned import LearnedVerdict
from balancer.cache.limits import CacheLimits, vector_bytes
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore
from balancer.cache.vectors import Vector
from tests.balancer.cache.verdicts import file, read

DIMENSION = 4
READING = read(LearnedVerdict(file()), "a")
LIMITS = CacheLimits(
    max_entries=6,
    max_bytes=5 * (ENTRY_OVERHEAD_BYTES + 500) + 3 * vector_bytes(DIMENSION),
    max_entry_bytes=ENTRY_OVERHEAD_BYTES + 2000,
    scope_rows_max=2,
    threshold=0.5,
)

questions = st.tuples(st.sampled_from(["ann", "ann", "bob"]), st.sampled_from("mmmn"), st.sampled_from("abcdef"))
sizes = st.sampled_from([1, 20, 200, 1200, 3000])
lives = st.sampled_from([5.0, 50.0, math.inf])


def vector_of(seed: int) -> Vector:
    """Mostly good vectors, one of nothing and one of another dimension."""
    if seed == 0:
        return np.zeros(DIMENSION, np.float32)
    dimension = DIMENSION + 1 if seed == 1 else DIMENSION
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)


vectors = st.integers(0, 30).map(vector_of)


def ask(question: tuple[str, str, str], **fields: Any) -> CacheKeys:
    tenant, model, text = question
    return derive({"prompt": text, **fields}, tenant=tenant, model=model, endpoint="completions", embedder_id="e")


class Churn(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = CacheStore(LIMITS)
        self.now = 0.0
        self.latest: dict[bytes, tuple[str, float]] = {}
        self.answers = 0

    @rule(puts=st.lists(st.tuples(questions, sizes, lives, vectors | st.none()), min_size=1, max_size=5))
    def put(self, puts: list[tuple[tuple[str, str, str], int, float, Vector | None]]) -> None:
        for one in puts:
            self.put_one(*one)

    def put_one(self, question: tuple[str, str, str], size: int, life_s: float, vector: Vector | None) -> None:
        keys = ask(question)
        assert keys.exact is not None
        self.answers += 1
        text = f"{self.answers} ".ljust(size, ".")
        entry = entry_for(
            keys,
            text=text,
            finish_reason="stop",
            answered_by="m",
            backend="b",
            prompt_tokens=1,
            completion_tokens=1,
            now=self.now,
            ttl_s=life_s,
            made_s=self.answers % 5,
        )
        stored = self.store.put(keys, entry, vector, self.now, READING if self.answers % 2 else None)
        assert stored == (entry.size_bytes <= LIMITS.max_entry_bytes)
        if stored:
            self.latest[keys.exact] = (text, self.now + life_s)
            assert self.store.lookup_exact(keys, self.now) is not None

    @rule(question=questions, vector=vectors)
    def attach(self, question: tuple[str, str, str], vector: Vector) -> None:
        self.store.attach(ask(question), vector, self.now, READING)

    @rule(question=questions)
    def look(self, question: tuple[str, str, str]) -> None:
        keys = ask(question)
        hit = self.store.lookup_exact(keys, self.now)
        if hit is not None and keys.exact is not None:
            assert (hit.entry.text, hit.entry.expires_at) == self.latest[keys.exact]
            assert hit.entry.expires_at > self.now

    @rule(question=questions, vector=vectors)
    def look_near(self, question: tuple[str, str, str], vector: Vector) -> None:
        hit = self.store.lookup_near(ask(question), vector, self.now)
        if hit is not None:
            assert (hit.entry.tenant, hit.entry.model) == question[:2]
            assert hit.entry.expires_at > self.now
            assert hit.entry.text == self.latest[bytes.fromhex(hit.entry.id)][0]

    @rule(seconds=st.sampled_from([0.5, 4.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(limit=st.sampled_from([1, 100]))
    def expire(self, limit: int) -> None:
        before = len(self.store)
        assert self.store.expire(self.now, limit) == before - len(self.store)

    @rule()
    def expire_all(self) -> None:
        for _ in range(3):  # what is left of a walk, then one that finds when the next is due, then that
            self.store.expire(self.now)
        assert all(self.now < entry.expires_at for entry in self.store._entries.entries())

    @precondition(lambda self: len(self.store) > 4)
    @rule(tenant=st.sampled_from([None, "ann"]), model=st.sampled_from([None, "m"]))
    def purge(self, tenant: str | None, model: str | None) -> None:
        before = len(self.store)
        assert self.store.purge(Purge(tenant=tenant, model=model)) == before - len(self.store)

    @invariant()
    def the_index_is_in_step(self) -> None:
        entries = self.store._entries
        held = {(part.scope, key) for key, part in entries.near.items()}
        indexed = {(scope, key) for scope, index in self.store._scopes.items() for key in index}
        assert indexed == held
        assert set(entries.near) <= set(entries.in_order())
        assert all(len(index) for index in self.store._scopes.values())

    @invariant()
    def the_bounds_hold(self) -> None:
        entries = self.store._entries
        assert len(list(entries.entries())) == len(self.store) <= LIMITS.max_entries
        sizes = [entry.size_bytes for entry in entries.entries()]
        sizes += [part.size_bytes for part in entries.near.values()]
        assert sum(sizes) == self.store.size_bytes <= LIMITS.max_bytes
        for part in entries.near.values():
            reading = part.reading.size_bytes if part.reading is not None else 0
            assert vector_bytes(DIMENSION) <= part.size_bytes - reading <= vector_bytes(DIMENSION + 1)
        assert all(len(index) <= LIMITS.scope_rows_max for index in self.store._scopes.values())


TestChurn = Churn.TestCase
TestChurn.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
