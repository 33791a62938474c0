from __future__ import annotations

from dataclasses import replace

from balancer.cache.keys import CacheKeys
from balancer.cache.purge import Purge
from balancer.cache.store import CacheStore
from balancer.cache.unembedded import PER_TICK_MAX, Unembedded, Waiting
from tests.balancer.cache.test_store import NOW, answer, ask


class Embedder:
    """Takes as many as there is room for."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.taken: list[CacheKeys] = []

    def take(self, keys: CacheKeys) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append(keys)
        return True

    @property
    def texts(self) -> list[str]:
        return [keys.text for keys in self.taken]


def stored(*texts: str, of: str = "e") -> tuple[CacheStore, Unembedded]:
    store = CacheStore()
    unembedded = Unembedded(store)
    for text in texts:
        keys = ask(text)
        store.put(keys, answer(keys), None, NOW)
        assert keys.exact is not None and keys.scope is not None
        unembedded.add(Waiting(keys.exact, keys.scope, of))
    return store, unembedded


def test_the_latest_come_first_with_the_keys_they_had() -> None:
    _, unembedded = stored("one?", "two?")
    embedder = Embedder()
    unembedded.advance("e", embedder.take)
    assert [replace(keys, max_tokens=None) for keys in embedder.taken] == [ask("two?"), ask("one?")]
    assert len(unembedded) == 0


def test_until_the_embedder_is_known_all_wait() -> None:
    _, unembedded = stored("one?")
    unembedded.advance(None, Embedder().take)
    assert len(unembedded) == 1


def test_what_finds_no_room_is_tried_again() -> None:
    _, unembedded = stored("one?", "two?", "three?")
    embedder = Embedder(room=1)
    unembedded.advance("e", embedder.take)
    unembedded.advance("e", embedder.take)
    embedder.room = 9
    unembedded.advance("e", embedder.take)
    assert embedder.texts == ["three?", "two?", "one?"]


def test_what_is_another_embedders_or_has_left_waits_no_more() -> None:
    store, unembedded = stored("one?", "two?")
    store.purge(Purge(prefix="one?"))
    embedder = Embedder()
    unembedded.advance("e", embedder.take)
    assert (embedder.texts, len(unembedded)) == (["two?"], 0)
    _, unembedded = stored("one?", of="another")
    unembedded.advance("e", embedder.take)
    assert (len(embedder.taken), len(unembedded)) == (1, 0)


def test_only_a_few_go_at_once_and_only_so_many_wait() -> None:
    store, unembedded = stored(*(f"{n}?" for n in range(PER_TICK_MAX + 3)))
    embedder = Embedder()
    unembedded.advance("e", embedder.take)
    assert (len(embedder.taken), len(unembedded)) == (PER_TICK_MAX, 3)
    small = Unembedded(store, most=2)
    for n in range(5):
        small.add(Waiting(bytes([n]), b"s", "e"))
    assert small.scopes() == {b"\3": b"s", b"\4": b"s"}
