from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.expiry import ExpiryWalk


def test_nobody_is_visited_before_anybody_may_be_due() -> None:
    walk = ExpiryWalk()
    assert walk.next(1e9, 10, lambda: [b"a"]) == []
    walk.note(5.0)
    walk.note(7.0)
    assert walk.due == 5.0
    assert walk.next(4.9, 10, lambda: [b"a"]) == []
    assert walk.next(5.0, 10, lambda: [b"a"]) == [b"a"]


def test_a_walk_visits_a_few_at_a_time_and_asks_for_the_keys_once() -> None:
    walk, asked = ExpiryWalk(), []

    def keys() -> list[bytes]:
        asked.append(1)
        return [bytes([n]) for n in range(5)]

    walk.note(1.0)
    visits = [walk.next(1.0, 2, keys) for _ in range(4)]
    assert sorted(key for visit in visits for key in visit) == keys()
    assert [len(visit) for visit in visits] == [2, 2, 1, 0]
    assert len(asked) == 2


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=40), st.integers(1, 7))
def test_every_entry_is_visited_soon_after_its_time(births: list[tuple[float, int]], limit: int) -> None:
    """Whenever entries come, none lives on much longer than it takes to visit all of them twice."""
    walk, living, now = ExpiryWalk(), dict[bytes, float](), 0.0
    for turn in range(len(births) + 300):
        if turn < len(births):
            gap, life = births[turn]
            now += gap
            living[bytes([turn])] = now + life
            walk.note(now + life)
        else:
            now += 1.0
        for key in walk.next(now, limit, lambda: list(living)):
            if living[key] <= now:
                del living[key]
            else:
                walk.note(living[key])
    assert not living
