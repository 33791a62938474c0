from __future__ import annotations

from pathlib import Path

import pytest

from balancer.caching import VERDICT, VERDICT_BYTES_MAX, cache_lane, learned_verdict
from balancer.config import Config
from tests.fakes import FakeClock, FakeEmbedder


def test_the_cache_judges_with_the_verdict_that_ships() -> None:
    embedder = FakeEmbedder()
    lane = cache_lane(Config(), embedder, FakeClock())
    shipped = learned_verdict(VERDICT, 0.02)
    assert lane is not None and shipped is not None
    assert lane.stats()["verdict"] == "simple"
    embedder.id = shipped.embedder_id
    assert lane.stats()["verdict"] == "learned"


def test_a_cache_that_is_turned_off_is_none() -> None:
    assert cache_lane(Config(cache=False), FakeEmbedder(), FakeClock()) is None


def test_without_an_embedder_there_is_nothing_to_judge() -> None:
    lane = cache_lane(Config(embedder=False), None, FakeClock())
    assert lane is not None and lane.stats()["embedder"] is None


def test_a_smaller_wrong_share_takes_a_greater_probability() -> None:
    strict, loose = learned_verdict(VERDICT, 0.01), learned_verdict(VERDICT, 0.1)
    assert strict is not None and loose is not None
    assert strict.threshold > loose.threshold


@pytest.mark.parametrize("data", [None, b"", b"no verdict", b"\0" * (VERDICT_BYTES_MAX + 1)])
def test_a_damaged_file_is_warned_of_and_costs_the_learned_verdict_alone(
    data: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "verdict.npz"
    if data is not None:
        path.write_bytes(data)
    assert learned_verdict(path, 0.02) is None
    assert "--cache-threshold" in caplog.text and str(path) in caplog.text


def test_a_share_that_cannot_be_kept_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert learned_verdict(VERDICT, 0.0) is not None
    assert "no near match is served" in caplog.text
