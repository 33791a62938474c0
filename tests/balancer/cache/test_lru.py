from __future__ import annotations

import pytest

from balancer.cache.counters import Counters
from balancer.cache.entry import entry_for
from balancer.cache.keys import derive
from balancer.cache.lru import EntryLRU, Record


def record(size_bytes: int = 10) -> Record:
    keys = derive({"prompt": "q"}, tenant="t", model="m", endpoint="completions")
    entry = entry_for(
        keys,
        text="a",
        finish_reason="stop",
        answered_by="m",
        backend="b",
        prompt_tokens=1,
        completion_tokens=1,
        now=0.0,
    )
    return Record(entry, None, size_bytes)


class Left(list[bytes]):
    """Keys that left, in order."""

    def hear(self, key: bytes, record: Record) -> None:
        self.append(key)


def lru(max_entries: int = 3, max_bytes: int = 100) -> tuple[EntryLRU, Left, Counters]:
    left, counters = Left(), Counters()
    return EntryLRU(max_entries, max_bytes, counters, left.hear), left, counters


def test_the_least_recently_used_leaves_when_there_are_too_many() -> None:
    entries, left, counters = lru(max_entries=2)
    entries[b"a"] = entries[b"b"] = record()
    entries.touch(b"a")
    entries[b"c"] = record()
    assert (set(entries), left, counters.evictions) == ({b"a", b"c"}, [b"b"], 1)


def test_as_many_leave_as_the_bytes_of_a_new_one_ask() -> None:
    entries, left, counters = lru(max_entries=10, max_bytes=100)
    for key in (b"a", b"b", b"c"):
        entries[key] = record(30)
    entries[b"d"] = record(65)
    assert (set(entries), left, counters.evictions) == ({b"c", b"d"}, [b"a", b"b"], 2)
    assert entries.currsize == 95


def test_looking_without_touching_does_not_save_an_entry() -> None:
    entries, left, _ = lru(max_entries=2)
    entries[b"a"] = entries[b"b"] = record()
    assert entries.peek(b"a") is not None
    assert entries.peek(b"z") is None
    entries[b"c"] = record()
    assert left == [b"a"]


def test_an_entry_that_grows_makes_others_leave_and_not_itself() -> None:
    entries, left, _ = lru(max_bytes=100)
    entries[b"a"] = entries[b"b"] = record(40)
    entries[b"a"] = record(90)
    assert (set(entries), left, entries.currsize) == ({b"a"}, [b"b"], 90)


def test_amending_keeps_the_order() -> None:
    entries, left, _ = lru(max_entries=2)
    entries[b"a"] = entries[b"b"] = record(40)
    entries.amend(b"a", record(20))
    assert entries.currsize == 60
    entries[b"c"] = record()
    assert left == [b"a"]


def test_deleting_and_clearing_tell_of_each_that_leaves_and_are_no_evictions() -> None:
    entries, left, counters = lru()
    entries[b"a"] = entries[b"b"] = entries[b"c"] = record()
    del entries[b"b"]
    entries.clear()
    assert (left, len(entries), entries.currsize, counters.evictions) == ([b"b", b"a", b"c"], 0, 0, 0)


def test_what_can_never_fit_is_an_error() -> None:
    entries, _, _ = lru(max_bytes=100)
    with pytest.raises(ValueError, match="too large"):
        entries[b"a"] = record(101)
