from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.clusters import ROWS_MAX
from balancer.cache.vectors import READ_MAX, Vector, VectorIndex, unit_vector

DIMENSION = 8


def some(seed: int, dimension: int = DIMENSION) -> Vector:
    vector = unit_vector(np.random.default_rng(seed).standard_normal(dimension))
    assert vector is not None
    return vector


def test_the_nearest_come_first() -> None:
    index = VectorIndex(2, 10)
    index.add(b"east", np.array([1, 0], np.float32))
    index.add(b"north", np.array([0, 1], np.float32))
    index.add(b"north-east", np.array([0.6, 0.8], np.float32))
    found = index.nearest(np.array([0, 1], np.float32), 2)
    assert [key for key, _ in found] == [b"north", b"north-east"]
    assert found[0][1] == pytest.approx(1.0)
    assert found[1][1] == pytest.approx(0.8)


def test_an_empty_index_finds_nothing() -> None:
    assert VectorIndex(2, 10).nearest(np.array([0, 1], np.float32), 3) == []


def test_a_key_added_again_has_its_new_vector_only() -> None:
    index = VectorIndex(2, 10)
    index.add(b"a", np.array([1, 0], np.float32))
    index.add(b"a", np.array([0, 1], np.float32))
    assert len(index) == 1
    assert index.nearest(np.array([0, 1], np.float32), 5) == [(b"a", 1.0)]


def test_a_full_index_gives_up_an_old_vector_for_a_new_one() -> None:
    index = VectorIndex(DIMENSION, 3)
    assert [index.add(bytes([n]), some(n)) for n in range(3)] == [None, None, None]
    assert [index.add(bytes([n]), some(n)) for n in range(3, 7)] == [b"\0", b"\1", b"\2", b"\3"]
    assert sorted(index) == [b"\4", b"\5", b"\6"]
    for n in (4, 5, 6):
        assert index.nearest(some(n), 1)[0][0] == bytes([n])


def test_removing_what_is_not_there_changes_nothing() -> None:
    index = VectorIndex(DIMENSION, 3)
    index.add(b"a", some(1))
    assert not index.remove(b"b")
    assert list(index) == [b"a"]


def test_among_many_the_near_ones_are_found_and_a_search_reads_few() -> None:
    rng = np.random.default_rng(0)
    topics = rng.standard_normal((300, 32)).astype(np.float32)
    rows = np.repeat(topics, 50, axis=0) + 0.7 * rng.standard_normal((15_000, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = VectorIndex(32, 20_000)
    for number, row in enumerate(rows):
        index.add(b"%d" % number, row)
    missed = 0
    for number in range(0, 15_000, 75):
        asked = unit_vector(rows[number] + 0.05 * rng.standard_normal(32))
        assert asked is not None
        best = rows @ asked
        found = index.nearest(asked, 4)
        assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)
        for key, cosine in found:
            assert cosine == pytest.approx(best[int(key)], abs=1e-5)
        missed += found[0][1] < best.max() - 1e-5
        cosines, _, _ = index._read(asked)
        assert len(cosines) <= READ_MAX + ROWS_MAX
    assert missed <= 1
    for number in range(15_000):
        assert index.remove(b"%d" % number)
    assert (len(index), index.capacity) == (0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=80), st.integers(1, 9))
def test_any_sequence_leaves_what_a_dictionary_would_hold(steps: list[tuple[bool, int]], rows_max: int) -> None:
    index, expected = VectorIndex(DIMENSION, rows_max), {}
    for turn, (adding, number) in enumerate(steps):
        key = bytes([number])
        if adding:
            expected[key] = some(turn)
            victim = index.add(key, expected[key])
            if victim is not None:
                del expected[victim]
        else:
            assert index.remove(key) == (expected.pop(key, None) is not None)
        assert sorted(index) == sorted(expected)
        assert len(index) <= rows_max
        assert index.capacity <= max(2 * len(index), 2)
    for key, vector in expected.items():
        assert key in index
        found = dict(index.nearest(vector, len(expected)))
        assert found[key] == pytest.approx(1.0, abs=1e-5)
        assert max(found.values()) <= found[key] + 1e-5


@pytest.mark.parametrize(
    "bad",
    [np.zeros(3), np.array([1.0, np.nan]), np.array([np.inf, 1.0]), np.zeros((2, 2)), np.array([]), np.array(1.0)],
)
def test_what_has_no_direction_is_no_vector(bad: Vector) -> None:
    assert unit_vector(bad) is None


def test_vectors_become_single_precision_of_length_one() -> None:
    vector = unit_vector(np.array([3.0, 4.0]))
    assert vector is not None
    assert vector.dtype == np.float32
    assert vector.tolist() == pytest.approx([0.6, 0.8])
