"""A cache that takes its file over from another that still has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from balancer.cache.bound import Bound
from balancer.cache.entry import entry_for
from balancer.cache.judge_error import BY_WORDS
from balancer.cache.observations import WRONG
from balancer.cache.purge import Purge
from balancer.exchange.trials import Trials
from balancer.persistence.file import CacheFile
from balancer.persistence.takeover import GIVEN_UP_S, TRY_EVERY_S, TakeoverKeeper
from tests.balancer.persistence.test_keeper import Run


class Late(Run):
    """A run whose keeper has to wait for the file."""

    def __init__(self, path: Path, *, entries_max: int = 100) -> None:
        super().__init__(path.with_suffix(".own"), entries_max=entries_max)
        self.lane.close()
        self.late = self.lane.keeper = TakeoverKeeper(
            self.store, self.lane, path, self.clock, self.keeper._unix_time, lambda: self.embedder.id
        )

    def until(self, done: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + 10
        while not done():
            assert time.monotonic() < ends_at
            self.clock.now += TRY_EVERY_S / 50
            self.lane.advance(self.clock.now)
            time.sleep(0.001)

    def told(self) -> bool:
        return self.late.stats()["trouble"] is None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def test_the_file_is_taken_as_soon_as_it_is_free(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    first = Run(path)
    first.put("one", "two")
    late = Late(path)
    late.put("two", "three")
    for _ in range(3):
        late.clock.now += TRY_EVERY_S
        late.lane.advance(late.clock.now)
    assert "in use" in late.late.stats()["trouble"] and not late.holds("one")
    first.lane.close()
    late.until(late.told)
    assert late.holds("one") and late.late.stats()["restored"] == 1
    assert "is ours now: 1 cached answers" in caplog.text
    late.lane.close()
    again = Run(path)
    assert all(again.holds(each) for each in ("one", "two", "three"))
    again.lane.close()


def test_what_came_meanwhile_stays_where_there_is_no_room_for_all(path: Path) -> None:
    first = Run(path)
    first.put("one", "two", "three")
    first.lane.close()
    late = Late(path, entries_max=3)
    late.put("four", "five")
    late.until(late.told)
    assert [late.holds(each) for each in ("one", "two", "three", "four", "five")] == [False, False, True, True, True]
    late.lane.close()


def test_what_was_forgotten_while_waiting_stays_forgotten(path: Path) -> None:
    first = Run(path)
    first.put("one")
    first.lane.close()
    late = Late(path)
    late.lane.forget_all()
    late.until(late.told)
    assert not late.holds("one")
    late.lane.close()


def test_what_was_purged_or_called_wrong_while_waiting_does_not_come_back(path: Path) -> None:
    first = Run(path)
    first.put("one", "two", "three")
    first.lane.close()
    late = Late(path)
    late.put("three")
    assert late.lane.wrong(late.lane.keys(late.request("three"), "m").exact or b"")
    late.lane.purge(Purge(prefix="tw"))
    late.until(late.told)
    assert [late.holds(each) for each in ("one", "two", "three")] == [True, False, False]
    late.lane.close()


def test_what_was_in_the_file_leaves_before_what_came_meanwhile(path: Path) -> None:
    first = Run(path)
    first.put("one", "two")
    first.lane.close()
    late = Late(path, entries_max=3)
    late.put("three")
    late.until(late.told)
    late.put("four")
    assert [late.holds(each) for each in ("one", "two", "three", "four")] == [False, True, True, True]
    late.lane.close()


def test_what_near_answers_taught_is_learned_and_kept_then(path: Path) -> None:
    def teach(run: Run) -> Bound:
        bound = Bound(0.02, BY_WORDS)
        assert run.lane.keeper is not None
        run.lane.keeper.learn(Trials(bound, run.clock))
        return bound

    first = Run(path)
    request = first.request("one")
    bound = teach(first)
    known = entry_for(
        first.lane.keys(request, "m"),
        text="",
        finish_reason="",
        answered_by="",
        backend="",
        prompt_tokens=None,
        completion_tokens=None,
        now=0.0,
    )
    bound.observe(known, 0.99, WRONG, first.clock.time(), served=True)
    first.lane.close()
    late = Late(path)
    bound = teach(late)
    late.until(late.told)
    assert bound.checked[WRONG] == 1
    bound.observe(known, 0.99, WRONG, late.clock.time(), served=True)
    late.lane.close()
    again = Run(path)
    bound = teach(again)
    assert bound.checked[WRONG] == 2 and bound.pools["t", "m"].tally.checks > 1.9
    again.lane.close()


def test_it_is_not_waited_for_forever(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Run(path)
    late = Late(path)
    late.clock.now += GIVEN_UP_S
    late.until(lambda: "will not be kept" in caplog.text)
    first.lane.close()
    for _ in range(5):
        late.clock.now += TRY_EVERY_S
        late.lane.advance(late.clock.now)
    assert "since" in late.late.stats()["trouble"]
    late.lane.close()


def test_who_ends_while_waiting_leaves_the_file_as_it_was(path: Path) -> None:
    first = Run(path)
    first.put("one")
    late = Late(path)
    late.put("two")
    late.clock.now += TRY_EVERY_S
    late.lane.advance(late.clock.now)
    late.lane.close()
    first.lane.close()
    file = CacheFile(path)
    assert [kept.entry.question for kept in file.read(0.0, 0.0, 10).entries] == ["one"]
    file.close()
