from __future__ import annotations

from pathlib import Path

import pytest

from balancer.cache_setup import cache_lane
from balancer.config import Config
from balancer.errors import ConfigError
from balancer.verdict_file import VERDICT, learned_verdict
from tests.fake_embedder import FakeEmbedder
from tests.fakes import FakeClock


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


def test_entries_are_kept_where_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    lane = cache_lane(Config(cache_file=path), FakeEmbedder(), FakeClock())
    assert lane is not None and lane.stats()["file"]["path"] == str(path)
    lane.close()
    without = cache_lane(Config(), None, FakeClock())
    assert without is not None and without.stats()["file"] is None
    without.close()


def test_a_file_that_another_uses_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cache.db"
    first = cache_lane(Config(cache_file=path), None, FakeClock())
    second = cache_lane(Config(cache_file=path), None, FakeClock())
    assert first is not None and second is not None
    assert second.stats()["file"]["trouble"] is not None and str(path) in caplog.text
    first.close()


def test_a_file_that_cannot_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cache-file: .*missing.*No such file"):
        cache_lane(Config(cache_file=tmp_path / "missing" / "cache.db"), None, FakeClock())


def test_another_version_is_part_of_every_key() -> None:
    lanes = [cache_lane(Config(cache_version=version), None, FakeClock()) for version in ("", "1")]
    assert len({lane.epochs.of("m") for lane in lanes if lane is not None}) == 2
