from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from balancer.compiled import SOURCES_FILE, changed_sources, check_sources, is_compiled
from balancer.errors import ConfigError


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return package_in(tmp_path / "sources")


@pytest.fixture
def copy(tmp_path: Path, sources: Path) -> Path:
    """As ``scripts/compile`` makes it."""
    copy = package_in(tmp_path / "copy")
    (copy / "exchange" / f"exchange{EXTENSION_SUFFIXES[0]}").write_bytes(b"")
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "room.pyc").write_bytes(b"")
    (copy / SOURCES_FILE).write_text(str(sources))
    return copy


def package_in(folder: Path) -> Path:
    (folder / "exchange").mkdir(parents=True)
    (folder / "exchange" / "exchange.py").write_text("A = 1")
    (folder / "weights.npz").write_bytes(b"1")
    return folder


def test_what_has_machine_code_for_this_python_is_compiled(sources: Path, copy: Path) -> None:
    assert is_compiled(copy)
    assert not is_compiled(sources)


def test_a_copy_of_the_sources_as_they_are_may_run(copy: Path) -> None:
    assert changed_sources(copy) == []
    check_sources(copy)


@pytest.mark.parametrize("name", ["exchange/exchange.py", "weights.npz", "new.py"])
def test_a_copy_of_older_sources_may_not(sources: Path, copy: Path, name: str) -> None:
    (sources / name).write_text("A = 2")
    assert changed_sources(copy) == [name]
    with pytest.raises(ConfigError, match=f"^{name} changed since this was compiled"):
        check_sources(copy)


def test_a_source_that_is_gone_is_a_change_too(sources: Path, copy: Path) -> None:
    (sources / "weights.npz").unlink()
    (sources / "new.py").write_text("")
    with pytest.raises(ConfigError, match=r"^new\.py and 1 more changed"):
        check_sources(copy)


def test_an_installed_package_is_compared_with_nothing(sources: Path) -> None:
    assert changed_sources(sources) == []


def test_a_copy_may_outlive_its_sources(copy: Path) -> None:
    (copy / SOURCES_FILE).write_text("/nowhere/balancer")
    assert changed_sources(copy) == []
