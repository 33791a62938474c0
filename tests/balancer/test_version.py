from __future__ import annotations

from importlib import metadata

import pytest

from balancer.compiled import is_compiled
from balancer.version import installed_version, told_version


def test_a_source_tree_that_was_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert installed_version() == "unknown"


def test_an_installed_one_tells_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"llm-balancer": "1.2.3"}.__getitem__)
    assert installed_version() == "1.2.3"


def test_people_are_told_what_runs() -> None:
    assert told_version() == installed_version() + (" (compiled)" if is_compiled() else "")
