from __future__ import annotations

from balancer.cache import store
from balancer.cache.hit import Hit


def test_the_store_gives_hits() -> None:
    assert store.Hit is Hit
    assert Hit._field_defaults == {"probability": None}
