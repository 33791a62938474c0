from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

from balancer.cache.counters import Counters
from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import derive
from balancer.cache.lru import EntryLRU, NearPart


def entry(key: bytes, size_bytes: int = 10, made_s: float = 0.0) -> Entry:
    keys = derive({"prompt": "q"}, tenant="t", model="m", endpoint="completions")
    found = entry_for(
        keys,
        text="a",
        finish_reason="stop",
        answered_by="m",
        backend="b",
        prompt_tokens=1,
        completion_tokens=1,
        now=0.0,
    )
    return replace(found, key=key, size_bytes=size_bytes, made_s=made_s)


SOME = entry(b"")


def use(entries: EntryLRU, key: bytes) -> None:
    found = entries.get(key)
    assert found is not None
    entries.used(found)


def part(size_bytes: int = 30) -> NearPart:
    return NearPart(b"scope", size_bytes, None)


class Left(list[bytes]):
    """Keys whose near part left, in order."""

    def hear(self, key: bytes, part: NearPart) -> None:
        self.append(key)


def lru(*keys: bytes, max_entries: int = 3, max_bytes: int = 100) -> tuple[EntryLRU, Left, Counters]:
    left, counters = Left(), Counters()
    entries = EntryLRU(max_entries, max_bytes, counters, left.hear)
    for key in keys:
        entries.add(entry(key))
    return entries, left, counters


def test_the_least_recently_used_leaves_when_there_are_too_many() -> None:
    entries, _, counters = lru(b"a", b"b", max_entries=2)
    use(entries, b"a")
    entries.add(entry(b"c"))
    assert (entries.in_order(), counters.evictions) == ([b"a", b"c"], 1)


def test_as_many_leave_as_the_bytes_of_a_new_one_ask() -> None:
    entries, _, counters = lru(max_entries=10)
    for key in (b"a", b"b", b"c"):
        entries.add(entry(key, 30))
    entries.add(entry(b"d", 65))
    assert (entries.in_order(), counters.evictions, entries.size_bytes) == ([b"c", b"d"], 2, 95)


def test_looking_without_touching_does_not_save_an_entry() -> None:
    entries, _, _ = lru(b"a", b"b", max_entries=2)
    assert entries.get(b"a") is not None
    assert entries.get(b"z") is None
    entries.add(entry(b"c"))
    assert entries.in_order() == [b"b", b"c"]


def test_an_entry_in_place_of_another_is_the_newest_and_no_eviction() -> None:
    entries, left, counters = lru(b"a", b"b", b"c")
    entries.extend(b"a", part())
    entries.add(entry(b"a", 40))
    assert (entries.in_order(), left, entries.size_bytes, counters.evictions) == ([b"b", b"c", b"a"], [b"a"], 60, 0)
    assert not entries.near


def test_an_entry_that_gets_a_near_part_makes_others_leave_and_not_itself() -> None:
    entries, left, counters = lru(b"a", b"b")
    entries.extend(b"a", part(85))
    assert (entries.in_order(), left, entries.size_bytes, counters.evictions) == ([b"a"], [], 95, 1)


def test_a_near_part_leaves_with_its_entry_and_is_told() -> None:
    entries, left, _ = lru(b"a", b"b", max_entries=2)
    entries.extend(b"a", part())
    entries.extend(b"b", part())
    assert entries.remove(b"b")
    assert not entries.remove(b"b")
    entries.add(entry(b"c"))
    entries.add(entry(b"d"))
    assert (left, entries.near, entries.size_bytes) == ([b"b", b"a"], {}, 20)


def test_taking_a_near_part_keeps_the_entry_and_the_order_and_tells_nobody() -> None:
    entries, left, _ = lru(b"a", max_entries=2)
    entries.extend(b"a", part())
    entries.add(entry(b"b"))
    entries.shrink(b"a")
    entries.shrink(b"b")
    assert (entries.in_order(), left, entries.size_bytes) == ([b"a", b"b"], [], 20)
    entries.add(entry(b"c"))
    assert entries.in_order() == [b"b", b"c"]


def test_entries_come_in_their_order() -> None:
    entries, _, _ = lru(b"a", b"b")
    use(entries, b"a")
    assert [each.key for each in entries.entries()] == [b"b", b"a"]
    assert len(entries) == 2


def costly(*seconds: float, max_entries: int) -> EntryLRU:
    """Entries ``0``, ``1``, ... that took so long to make."""
    entries, _, _ = lru(max_entries=max_entries, max_bytes=10_000)
    for number, made_s in enumerate(seconds):
        entries.add(entry(str(number).encode(), made_s=made_s))
    return entries


def test_what_took_long_to_make_stays_longer() -> None:
    entries = costly(1.0, 8.0, 1.0, 1.0, max_entries=4)
    for number in range(4, 10):
        entries.add(entry(str(number).encode(), made_s=1.0))
    assert b"1" in entries.in_order()
    for number in range(10, 40):
        entries.add(entry(str(number).encode(), made_s=1.0))
    assert b"1" not in entries.in_order()


def test_what_answers_often_stays_longer_than_what_did_once() -> None:
    entries = costly(1.0, 1.0, 1.0, max_entries=3)
    for _ in range(3):
        use(entries, b"0")
    for number in range(3, 8):
        entries.add(entry(str(number).encode(), made_s=1.0))
    assert b"0" in entries.in_order()


def test_the_newest_stays_whoever_else_has_credit() -> None:
    entries = costly(1.0, 1.0, max_entries=2)
    for key in (b"0", b"1") * 10:
        use(entries, key)
    for number in range(2, 30):
        entries.add(entry(str(number).encode(), made_s=1.0))
        assert str(number).encode() in entries.in_order()
        assert len(entries) == 2


def test_credit_leaves_with_its_entry() -> None:
    entries = costly(*[1.0 + n % 7 for n in range(500)], max_entries=10)
    for key in entries.in_order():
        use(entries, key)
        entries.remove(key)
    assert entries._credits == {}
    assert len(entries) == 0


def saved_s(known: bool) -> float:
    """Seconds that hits save on a trace of questions of Zipf popularity, a third of them asked once.

    ``known``: the cache is told what its answers took to make; else it is a plain LRU.
    """
    rng, saved = random.Random(1), 0.0
    questions = [(str(n).encode(), 0.2 + math.exp(rng.gauss(1.0, 1.1))) for n in range(2000)]
    weights = list(itertools.accumulate((n + 1) ** -0.9 for n in range(len(questions))))
    entries, _, _ = lru(max_entries=200, max_bytes=1 << 30)
    rng.shuffle(questions)
    for turn, (key, seconds) in enumerate(rng.choices(questions, cum_weights=weights, k=12_000)):
        key = key if turn % 3 else b"once %d" % turn
        found = entries.get(key)
        if found is not None:
            saved += seconds
            entries.used(found)
        else:
            entries.add(replace(SOME, key=key, made_s=seconds if known else 0.0))
    return saved


def test_knowing_what_answers_cost_saves_more_seconds() -> None:
    assert saved_s(known=True) > 1.05 * saved_s(known=False)
