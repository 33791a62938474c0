from __future__ import annotations

from balancer.cache.changes import StoreChanges


def test_changes_are_taken_once_in_their_order() -> None:
    changes = StoreChanges()
    changes.note(b"a")
    changes.note(b"b")
    assert changes.take() == [b"a", b"b"]
    assert changes.take() == []


def test_too_many_are_known_as_too_many_until_they_are_taken() -> None:
    changes = StoreChanges(most=3)
    for number in range(10):
        changes.note(bytes([number]))
    assert changes.take() is None
    changes.note(b"z")
    assert changes.take() == [b"z"]


def test_as_many_as_are_allowed_are_kept() -> None:
    changes = StoreChanges(most=3)
    for number in range(3):
        changes.note(bytes([number]))
    assert changes.take() == [b"\0", b"\1", b"\2"]
