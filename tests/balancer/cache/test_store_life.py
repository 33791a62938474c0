"""Who leaves when: purges, answers that were wrong, and what another run kept."""

from __future__ import annotations

import pytest

from balancer.cache.changes import Came
from balancer.cache.limits import CacheLimits
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore
from tests.balancer.cache.test_store import ALMOST_EAST, EAST, NOW, answer, ask


@pytest.mark.parametrize(
    ("prefix", "left"), [("How ", {"Who is it?"}), ("How tall", {"How far?", "Who is it?"}), ("", set()), ("x", None)]
)
def test_purge_by_how_questions_begin(prefix: str, left: set[str] | None) -> None:
    store, texts = CacheStore(), ["How tall?", "How far?", "Who is it?"]
    for text in texts:
        store.put(ask(text), answer(ask(text)), None, NOW)
    gone = store.purge(Purge(prefix=prefix))
    kept = {entry.question for entry, _ in store.entries()}
    assert kept == (set(texts) if left is None else left)
    assert gone == len(texts) - len(kept) == store.counters.purged


def test_purge_of_one_entry() -> None:
    store, keys = CacheStore(), ask()
    store.put(keys, answer(keys), EAST, NOW)
    store.put(ask("another?"), answer(ask("another?")), EAST, NOW)
    assert store.purge(Purge(entry=keys.exact)) == 1
    assert store.lookup_exact(keys, NOW) is None and len(store) == 1
    assert store.purge(Purge(entry=keys.exact)) == 0


def test_a_wrong_answer_leaves_and_never_answers_that_request_again() -> None:
    store, keys, near = CacheStore(), ask("How tall is the tower?"), ask("What height has the tower?")
    store.put(keys, answer(keys), EAST, NOW)
    hit = store.lookup_near(near, ALMOST_EAST, NOW)
    assert hit is not None and keys.exact is not None
    assert store.wrong(keys.exact) == hit.entry
    assert store.wrong(keys.exact) is None
    assert store.lookup_exact(keys, NOW) is None and len(store) == 0
    assert (store.counters.reported_wrong, store.stats()["denied_pairs"]) == (1, 1)

    store.put(keys, answer(keys), EAST, NOW)
    assert store.lookup_near(near, ALMOST_EAST, NOW) is None
    assert store.counters.near_refusals == {"denied": 1}
    assert store.lookup_exact(keys, NOW) is not None
    other = ask("Which height does the tower have?")
    assert store.lookup_near(other, ALMOST_EAST, NOW) is not None


def test_nobody_takes_another_tenants_entry_away() -> None:
    store, keys = CacheStore(), ask(tenant="a")
    store.put(keys, answer(keys), None, NOW)
    assert keys.exact is not None
    assert store.wrong(keys.exact, "b") is None and len(store) == 1
    assert store.wrong(keys.exact, "a") is not None and len(store) == 0


def test_what_comes_and_leaves_is_told_to_whoever_follows() -> None:
    store = CacheStore(CacheLimits(max_entries=2))
    changes, keys = store.follow(), [ask(f"{number}?") for number in range(3)]
    entries = [answer(each) for each in keys]
    for each, entry in zip(keys, entries, strict=True):
        store.put(each, entry, EAST, NOW)
    store.purge()
    assert changes.take() == [
        *(Came(entry, each.scope) for each, entry in zip(keys, entries, strict=True)),
        entries[0].key,
        entries[1].key,
        entries[2].key,
    ]


def test_entries_of_an_earlier_run_answer_within_their_time_and_the_bounds() -> None:
    store, keys = CacheStore(CacheLimits(max_entries=2)), [ask(f"{number}?") for number in range(4)]
    assert not store.restore(answer(keys[0], ttl_s=5), NOW + 5)
    assert all(store.restore(answer(each, ttl_s=50), NOW) for each in keys[1:])
    assert [entry.question for entry, scope in store.entries() if scope is None] == ["2?", "3?"]
    assert store.lookup_exact(keys[3], NOW) is not None
    assert store.counters.stores == 0
    assert store.expire(NOW + 50) == 2
