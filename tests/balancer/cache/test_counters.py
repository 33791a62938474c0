from __future__ import annotations

import json

from balancer.cache.counters import Counters


def test_counters_start_at_nothing_and_travel_as_json() -> None:
    shown = json.loads(json.dumps(Counters().as_dict()))
    assert shown["hits"] == {"exact": 0, "semantic": 0}
    assert shown["misses"] == shown["stores"] == shown["evictions"] == 0
    assert shown["skips"] == shown["near_skips"] == shown["near_refusals"] == shown["store_refusals"] == {}


def test_reasons_are_counted_apart() -> None:
    counters = Counters()
    counters.skips["bypass"] += 1
    counters.skips["temperature"] += 2
    assert counters.as_dict()["skips"] == {"bypass": 1, "temperature": 2}


def test_what_is_shown_does_not_change_with_the_counters() -> None:
    counters = Counters()
    shown = counters.as_dict()
    counters.skips["n"] += 1
    assert shown["skips"] == {}
