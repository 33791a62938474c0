from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache import clusters as clusters_module
from balancer.cache.clusters import ROWS_MAX, Cluster, Clusters, Vector

DIMENSION = 8


def some(count: int, seed: int = 0) -> Vector:
    rows: Vector = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def check(clusters: Clusters, expected: dict[bytes, Vector]) -> None:
    """Every key in one cluster, its row with it, and every cluster where it says it is."""
    assert clusters.home.keys() == expected.keys()
    found = list(clusters.by_nearness(some(1)[0]))
    assert len(found) == len(clusters) == len({id(cluster) for cluster in found})
    assert sorted(key for cluster in found for key in cluster.keys) == sorted(expected)
    assert sorted(cluster.at for cluster in found) == list(range(len(clusters)))
    for key, vector in expected.items():
        home = clusters.home[key]
        assert home.rows[home.keys.index(key)].tolist() == vector.tolist()
    assert clusters.capacity <= 2 * len(expected)
    assert all(0 < len(cluster.keys) <= ROWS_MAX for cluster in found)


def test_many_rows_are_in_many_clusters_each_of_what_is_alike() -> None:
    centres = some(12, seed=3)
    rows = np.repeat(centres, 60, axis=0) + 0.1 * some(720, seed=4)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = np.random.default_rng(5).permutation(720)
    clusters = Clusters(DIMENSION)
    expected = {}
    for number in order.tolist():
        clusters.add(b"%d" % number, rows[number])
        expected[b"%d" % number] = rows[number]
    check(clusters, expected)
    assert 720 / ROWS_MAX <= len(clusters) <= 24
    for group, centre in enumerate(centres):
        nearest = next(clusters.by_nearness(centre))
        assert sum(int(key) // 60 == group for key in nearest.keys) > len(nearest.keys) / 4


@pytest.mark.parametrize("rows", [np.repeat(some(1), 500, axis=0), np.zeros((500, DIMENSION), np.float32)])
def test_equal_rows_are_split_as_well(rows: Vector) -> None:
    clusters = Clusters(DIMENSION)
    for number, row in enumerate(rows):
        clusters.add(b"%d" % number, row)
    check(clusters, {b"%d" % number: row for number, row in enumerate(rows)})


@given(st.data())
def test_any_sequence_leaves_what_a_dictionary_would_hold(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters_module, "ROWS_MAX", 6)  # so that a few steps split and drop
        patch.setattr(clusters_module, "_ROWS_MIN", 2)
        clusters, expected = Clusters(DIMENSION), dict[bytes, Vector]()
        rows = some(200, seed=data.draw(st.integers(0, 5)))
        for turn in range(data.draw(st.integers(0, 120))):
            if expected and data.draw(st.integers(0, 2)) == 0:
                key = data.draw(st.sampled_from(sorted(expected)))
                clusters.remove(key)
                del expected[key]
            else:
                expected[b"%d" % turn] = rows[turn]
                clusters.add(b"%d" % turn, rows[turn])
        check(clusters, expected)


def test_what_most_rows_have_left_is_given_up() -> None:
    clusters, rows = Clusters(DIMENSION), some(2000)
    for number, row in enumerate(rows):
        clusters.add(b"%d" % number, row)
    for number in range(1, 2000):
        clusters.remove(b"%d" % number)
    check(clusters, {b"0": rows[0]})
    assert len(clusters) == 1
    clusters.remove(b"0")
    assert (len(clusters), clusters.capacity, list(clusters.by_nearness(rows[0]))) == (0, 0, [])
    clusters.add(b"0", rows[0])
    check(clusters, {b"0": rows[0]})


def test_a_cluster_gives_back_the_row_that_leaves() -> None:
    one, two, three = some(3)
    cluster = Cluster(0, [b"1"], one[None, :].copy())
    cluster.add(b"2", two)
    cluster.add(b"3", three)
    assert cluster.remove(b"1").tolist() == one.tolist()
    assert cluster.keys == [b"3", b"2"]
    assert cluster.rows.tolist() == [three.tolist(), two.tolist()]
