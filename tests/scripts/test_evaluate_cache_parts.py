from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from balancer.cache.learned import LearnedVerdict
from scripts.evaluate_cache_parts import pairs, replay
from scripts.evaluate_cache_parts.caches import Asked, Cache, Cosine, Ours, Served, gptcache
from scripts.evaluate_cache_parts.stream import Request, Shape, make_stream, same_groups
from scripts.evaluate_cache_parts.vcache import VCache, explores, fitted
from scripts.labelled_pairs import Pair
from tests.balancer.cache.verdicts import DIMENSION, file, read

ROWS = [
    *(Pair(f"How tall is tower {at} in Rome?", f"What height has tower {at} in Rome?", 1) for at in range(20)),
    *(Pair(f"How tall is tower {at} in Rome?", f"Who built tower {at} in Rome?", 0) for at in range(20)),
    *(Pair(f"Why is lake {at} so deep?", f"Is lake {at} cold?", 0) for at in range(20)),
]


def asked(text: str, group: int, angle: float = 0.0) -> Asked:
    """Vectors that differ by an angle alone."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[:2] = math.cos(angle), math.sin(angle)
    return Asked(text, group, vector, None)


# --- the stream -------------------------------------------------------------------------------------------------------


def test_a_stream_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    shape = Shape(requests=300)
    assert make_stream(ROWS, ["Say hello"], shape, 3) == make_stream(ROWS, ["Say hello"], shape, 3)
    assert make_stream(ROWS, ["Say hello"], shape, 3) != make_stream(ROWS, ["Say hello"], shape, 4)


def test_duplicates_are_of_one_group_and_others_are_not() -> None:
    stream = make_stream(ROWS, [], Shape(requests=2000, reworded=0.0), 1)
    group = {request.text: request.group for request in stream}
    assert all(group[row.a] == group[row.b] for row in ROWS[:20] if row.a in group and row.b in group)
    assert all(group[row.a] != group[row.b] for row in ROWS[20:40] if row.a in group and row.b in group)
    assert {request.kind for request in stream} == {"known", "near", "once"}


def test_texts_that_differ_in_capitals_and_marks_are_of_one_group() -> None:
    rows = [Pair("Who is Ann?", "Who's that?", 1), Pair("who is ann", "Where is Bob?", 0)]
    assert same_groups(rows) == [["Where is Bob?"], ["Who is Ann?", "Who's that?", "who is ann"]]


def test_lone_prompts_come_once_and_the_first_groups_most_often() -> None:
    stream = make_stream(ROWS, [], Shape(requests=2000, zipf=1.5), 1)
    lone = [request.text for request in stream if request.kind == "once"]
    assert len(lone) == len(set(lone)) == 20
    counts = np.bincount([request.group for request in stream if request.kind == "known"])
    assert counts[0] > 3 * counts[4] > 0


def test_pairs_without_duplicates_make_no_stream() -> None:
    with pytest.raises(ValueError, match="too few"):
        make_stream(ROWS[20:], [], Shape(), 1)


# --- caches -----------------------------------------------------------------------------------------------------------


def test_cosine_serves_the_nearest_from_its_threshold_on() -> None:
    cache = Cosine(DIMENSION, 0.9)
    cache.store(asked("a", 7))
    assert cache.serve(asked("a", 7)) == Served(True, 7)
    assert cache.serve(asked("b", 8, math.acos(0.91))) == Served(False, 7)
    assert cache.serve(asked("b", 8, math.acos(0.89))) is None


def test_gptcaches_rule_is_a_cosine_of_six_tenths() -> None:
    cache = gptcache(DIMENSION)
    cache.store(asked("a", 7))
    assert cache.serve(asked("b", 8, math.acos(0.61))) is not None
    assert cache.serve(asked("b", 8, math.acos(0.59))) is None


def test_ours_serves_what_its_verdict_serves() -> None:
    verdict = LearnedVerdict(file(bias=3.0))
    cache = Ours(verdict)

    def one(text: str) -> Asked:
        reading = read(verdict, text)
        return Asked(text, len(text), np.full(DIMENSION, DIMENSION**-0.5, np.float32), reading)

    cache.store(one("What is 17 times 23?"))
    assert cache.serve(one("What is 17 times 23?")) == Served(True, 20)
    assert cache.serve(one("what is 17 times 23")) == Served(False, 20)
    assert cache.serve(one("What is 17 times 24?")) is None


def test_vcache_explores_until_it_has_seen_enough() -> None:
    assert explores(0.99, [], 0.02) == explores(0.99, [(0.9, True)], 0.02) == 1.0
    known = [(0.99, True)] * 2000 + [(0.5, False)] * 2000
    assert explores(0.99, known, 0.02) == 0.0
    assert explores(0.5, known, 0.02) > 0.9
    assert explores(0.99, known, 0.2) <= explores(0.97, known, 0.02)


def test_vcaches_curve_finds_where_answers_become_right() -> None:
    rng = np.random.default_rng(1)
    cosines = rng.uniform(0, 1, 4000)
    seen = [(float(c), bool(rng.random() < 1 / (1 + math.exp(-20 * (c - 0.7))))) for c in cosines]
    curve = fitted(seen)
    assert curve.middle == pytest.approx(0.7, abs=0.02) and curve.slope == pytest.approx(20, rel=0.1)
    assert 0 < curve.middle_error < 0.01


def test_vcache_makes_an_entry_of_what_the_nearest_answered_wrongly() -> None:
    cache = VCache(DIMENSION, 0.02, seed=1)
    for one in (asked("a", 1), asked("b", 1, 0.1), asked("c", 2, 0.2)):
        assert cache.serve(one) is None
        cache.store(one)
    assert cache.serve(asked("b", 1, 0.1)) == Served(True, 1)
    assert [text for text in ("a", "b", "c") if text in cache._seen] == ["a", "c"]


# --- what is told -----------------------------------------------------------------------------------------------------


class Scripted:
    """Serves as told."""

    def __init__(self, serves: list[Served | None]) -> None:
        self._serves = iter(serves)

    def serve(self, asked: Asked) -> Served | None:
        return next(self._serves)

    def store(self, asked: Asked) -> None:
        pass


def test_a_replay_counts_what_is_right_and_wrong_and_saved() -> None:
    requests = [Request(text, group, "known", 2.0) for text, group in (("a", 1), ("a", 1), ("b", 1), ("c", 2))]
    cache: Cache = Scripted([None, Served(True, 1), Served(False, 1), Served(False, 1)])
    found = replay.replay(requests, [asked(one.text, one.group) for one in requests], cache)
    assert found == replay.Tally(4, 2, 1, 2, 1, 0, 4.0, 8.0)
    told = found.report()
    assert (told["hit_rate"], told["right_of_repeats"], told["near_wrong_share"]) == (0.75, 1.0, 0.5)
    assert told["near_wrong_interval"][1] > told["hits_wrong_interval"][1] > 1 / 3


def scored(*rows: tuple[float, float, str]) -> list[pairs.Scored]:
    return [pairs.Scored(cosine, probability, reason, cosine >= 0.95) for cosine, probability, reason in rows]


def test_the_report_counts_gates_at_the_operating_point() -> None:
    rows = [Pair("a", "b", 1), Pair("a", "c", 1), Pair("a", "d", 0), Pair("a", "e", 0)]
    told = scored((0.9, 0.99, ""), (0.5, 0.98, ""), (0.97, 0.97, "numbers"), (0.8, 0.2, ""))
    found = pairs.report(rows, told, 0.9, 0.02)
    assert (found["operating_point"]["served"], found["operating_point"]["wrong"]) == (2, 0.0)
    assert found["operating_point_in_the_cache"]["served"] == 1
    assert found["cosine"]["0.95"]["wrong"] == 1.0 and found["refused_by_gates"] == {"numbers": 1}
    text = pairs.as_text(found | {"cpu_ms_per_pair": 1.0})
    assert "operating point" in text and "numbers 1" in text


@pytest.mark.parametrize("rows", [[Pair("a", "b", 1)], [Pair("a", "b", 0)]])
def test_a_report_without_one_of_the_labels_is_json_all_the_same(rows: list[Pair]) -> None:
    found: dict[str, Any] = pairs.report(rows, scored((0.9, 0.5, "")), 2.0, 0.001)
    assert found["operating_point"]["wrong"] is None and found["threshold"] is None
    assert json.dumps(found, allow_nan=False) and pairs.as_text(found | {"cpu_ms_per_pair": 1.0})
