from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancer.cache.keys import KeyRules
from balancer.cache.limits import CacheLimits
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.journal import Answer
from balancer.persistence.file import CacheFile
from balancer.persistence.keeper import RETRY_S, SAVE_EVERY_S, CacheKeeper
from balancer.request import Request
from tests.fake_embedder import FakeEmbedder
from tests.fakes import FakeClock

UNIX_S = 1.8e9
ANSWER = Answer("so it is", "stop", "m", 3, 2, True)


class Run:
    """One life of a daemon, as far as the keeper sees it; ``at`` is how long after the first its clock begins."""

    def __init__(self, path: Path, *, at: float = 0.0, embedder: str | None = "e@1", entries_max: int = 100) -> None:
        self.clock = FakeClock()
        self.embedder = FakeEmbedder()
        self.embedder.id = embedder
        self.store = CacheStore(CacheLimits(max_entries=entries_max))
        self.lane = CacheLane(self.store, self.embedder, self.clock, wait_s=0.03, ttl_s=60.0, rules=KeyRules())
        unix_offset_s = UNIX_S + at - self.clock.time()
        self.file = CacheFile(path)
        self.keeper = CacheKeeper(
            self.store,
            self.lane,
            self.file,
            self.clock,
            lambda: self.clock.time() + unix_offset_s,
            lambda: self.embedder.id,
        )
        self.lane.keeper = self.keeper

    def request(self, prompt: str) -> Request:
        return Request("1", "t", "completions", {"prompt": prompt}, len(prompt))

    def put(self, *prompts: str) -> None:
        for prompt in prompts:
            request = self.request(prompt)
            self.lane.store(request, self.lane.keys(request, "m"), ANSWER, "b", None)

    def holds(self, prompt: str) -> bool:
        request = self.request(prompt)
        return self.lane.exact(request, self.lane.keys(request, "m")) is not None

    def tick(self, seconds: float = SAVE_EVERY_S) -> None:
        """Time passes, and what was handed to the thread is written."""
        self.clock.now += seconds
        self.lane.advance(self.clock.now)
        ends_at = time.monotonic() + 10
        while not self.file.idle:
            assert time.monotonic() < ends_at
            time.sleep(0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def test_what_was_answered_is_known_after_a_restart(path: Path) -> None:
    first = Run(path)
    first.put("one", "two")
    first.lane.close()
    again = Run(path, at=10.0)
    assert again.holds("one") and again.holds("two") and not again.holds("three")
    assert again.keeper.stats()["restored"] == 2
    again.lane.close()


def test_a_kill_loses_the_last_second_alone(path: Path) -> None:
    first = Run(path)
    first.put("one")
    first.tick()
    assert first.keeper.stats()["written"] == 1
    first.put("two")
    first.file.close()  # without what the keeper still had
    again = Run(path)
    assert again.holds("one") and not again.holds("two")
    again.lane.close()


def test_what_has_expired_meanwhile_is_neither_taken_nor_kept(path: Path) -> None:
    first = Run(path)
    first.put("one")
    first.lane.close()
    again = Run(path, at=60.0)
    assert not again.holds("one") and len(again.store) == 0
    again.lane.close()
    file = CacheFile(path)
    assert file.read(0.0, 0.0, 10).entries == []
    file.close()


def test_what_left_leaves_the_file_too(path: Path) -> None:
    first = Run(path, entries_max=2)
    first.put("one", "two", "three")
    first.tick()
    first.lane.purge(Purge(prefix="two"))
    first.lane.close()
    again = Run(path)
    assert [again.holds(each) for each in ("one", "two", "three")] == [False, False, True]
    again.lane.close()


def test_a_smaller_cache_takes_the_latest_and_forgets_the_others(path: Path) -> None:
    first = Run(path)
    first.put("one", "two", "three")
    first.lane.close()
    again = Run(path, entries_max=2)
    assert [again.holds(each) for each in ("one", "two", "three")] == [False, True, True]
    again.lane.close()
    third = Run(path)
    assert len(third.store) == 2
    third.lane.close()


def test_questions_are_embedded_anew_the_latest_first(path: Path) -> None:
    first = Run(path)
    first.put("one", "two")
    first.lane.close()
    again = Run(path)
    assert again.embedder.asked == []
    again.tick(0.25)
    assert [each.text for each in again.embedder.asked] == ["two", "one"]
    again.embedder.asked[0].answer(1.0, 0.0)
    assert again.store.stats()["vectors"] == 1
    assert again.keeper.stats()["unembedded"] == 0
    again.lane.close()


def test_another_embedder_leaves_equal_questions_answered(path: Path) -> None:
    first = Run(path)
    first.put("one")
    first.lane.close()
    again = Run(path, embedder=None)
    again.tick(0.25)
    assert again.keeper.stats()["unembedded"] == 1  # not known yet
    again.embedder.id = "another@1"
    again.tick(0.25)
    assert again.embedder.asked == [] and again.keeper.stats()["unembedded"] == 0
    assert again.holds("one")
    again.lane.close()


def test_near_questions_survive_a_second_restart_before_they_were_embedded(path: Path) -> None:
    for _ in range(2):
        run = Run(path)
        run.put("one")
        run.lane.close()
        again = Run(path, embedder=None)
        again.lane.close()
    last = Run(path)
    last.tick(0.25)
    assert [each.text for each in last.embedder.asked] == ["one"]
    last.lane.close()


def test_what_was_forgotten_or_called_wrong_stays_so(path: Path) -> None:
    first = Run(path)
    first.put("one", "two")
    keys = first.lane.keys(first.request("one"), "m")
    assert keys.exact is not None
    first.store.denials.served(b"a" * 16, keys.exact)
    assert first.lane.wrong(keys.exact)
    first.tick()
    first.lane.forget_all("m")
    first.lane.close()
    again = Run(path)
    assert not again.holds("one") and not again.holds("two")
    assert again.store.denials.denies(b"a" * 16, keys.exact)
    again.put("two")
    again.lane.close()
    third = Run(path)
    assert third.holds("two")
    third.lane.close()


def test_after_trouble_all_is_written_anew(path: Path) -> None:
    run = Run(path)
    run.put("one")
    run.file._connection.execute("ALTER TABLE entries RENAME TO elsewhere")
    run.tick()
    assert run.keeper.stats()["trouble"] is not None
    run.file._connection.execute("ALTER TABLE elsewhere RENAME TO entries")
    run.put("two")
    run.tick()
    assert run.keeper.stats()["trouble"] is not None
    run.tick(RETRY_S)
    assert run.keeper.stats()["trouble"] is None
    run.lane.close()
    again = Run(path)
    assert again.holds("one") and again.holds("two")
    again.lane.close()


def test_an_entry_that_came_left_and_came_again_is_kept(path: Path) -> None:
    run = Run(path)
    run.put("one")
    run.lane.purge()
    run.put("one")
    run.put("two")
    run.lane.purge(Purge(prefix="two"))
    run.lane.close()
    again = Run(path)
    assert again.holds("one") and not again.holds("two")
    again.lane.close()


steps = st.tuples(
    st.sampled_from(["put", "put", "put", "purge", "wrong", "tick", "restart"]), st.sampled_from("abcdef")
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=25))
def test_whatever_happens_the_file_holds_what_the_store_does(path: Path, done: list[tuple[str, str]]) -> None:
    path.unlink(missing_ok=True)
    run = Run(path, entries_max=3)
    for step, prompt in [*done, ("restart", "")]:
        match step:
            case "put":
                run.put(prompt)
            case "purge":
                run.lane.purge(Purge(prefix=prompt))
            case "wrong":
                run.lane.wrong(run.lane.keys(run.request(prompt), "m").exact or b"")
            case "tick":
                run.tick()
            case "restart":
                before = {entry.key: entry for entry, _ in run.store.entries()}
                run.lane.close()
                run = Run(path, entries_max=3)
                assert {entry.key: replace(entry, created=0, expires_at=0) for entry, _ in run.store.entries()} == {
                    key: replace(entry, created=0, expires_at=0) for key, entry in before.items()
                }
    run.lane.close()
