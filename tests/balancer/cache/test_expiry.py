from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.expiry import ExpiryHeap


def test_what_is_due_comes_in_order_and_only_once() -> None:
    heap = ExpiryHeap()
    for at, key in ((3.0, b"c"), (1.0, b"a"), (2.0, b"b")):
        heap.add(at, key)
    assert list(heap.due(2.0, limit=10)) == [(1.0, b"a"), (2.0, b"b")]
    assert list(heap.due(2.0, limit=10)) == []
    assert len(heap) == 1


def test_the_limit_holds() -> None:
    heap = ExpiryHeap()
    for key in range(5):
        heap.add(1.0, bytes([key]))
    assert len(list(heap.due(9.0, limit=2))) == 2
    assert len(heap) == 3


def test_what_never_expires_is_not_kept() -> None:
    heap = ExpiryHeap()
    heap.add(math.inf, b"a")
    assert len(heap) == 0


def test_it_is_rebuilt_when_most_of_it_is_stale() -> None:
    heap = ExpiryHeap()
    for turn in range(200):
        heap.add(float(turn), b"a")
    assert heap.overgrown(living=1)
    heap.rebuild([(199.0, b"a"), (math.inf, b"b")])
    assert len(heap) == 1
    assert not heap.overgrown(living=1)


@given(st.lists(st.floats(0, 100)), st.floats(0, 100))
def test_due_is_what_lies_in_the_past(times: list[float], now: float) -> None:
    heap = ExpiryHeap()
    for at in times:
        heap.add(at, b"k")
    assert [at for at, _ in heap.due(now, limit=1000)] == sorted(at for at in times if at <= now)
