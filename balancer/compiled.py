"""Whether this balancer runs compiled, and whether what was compiled are still the sources.

A wheel's compiled modules come and go with it. ``scripts/compile`` makes a copy of the package beside a checkout: one
that is older than the sources would bring back what was since mended, and nobody would see it.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError

PACKAGE: Final = Path(__file__).resolve().parent
SOURCES_FILE: Final = "compiled-from"
"""In a copy of the package: the folder of the sources."""
_MAIN: Final = "exchange/exchange"
_LEFT_OUT: Final = ("__pycache__", ".so", ".pyd", SOURCES_FILE)


def is_compiled(package: Path = PACKAGE) -> bool:
    """Whether this Python finds machine code there: the one of another version is passed over."""
    return any((package / (_MAIN + suffix)).exists() for suffix in EXTENSION_SUFFIXES)


def changed_sources(package: Path = PACKAGE) -> list[str]:
    """Files that are not the same any more in the sources; of a package that is no copy, or has outlived them, none."""
    try:
        sources = Path((package / SOURCES_FILE).read_text())
    except FileNotFoundError:
        return []
    if not sources.is_dir():
        return []
    return sorted(name for name in _files(package) | _files(sources) if _differ(package / name, sources / name))


def check_sources(package: Path = PACKAGE) -> None:
    """Raise `ConfigError` where `changed_sources` finds any."""
    if changed := changed_sources(package):
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ConfigError(f"{changed[0]}{more} changed since this was compiled: run scripts/compile again")


def _files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(_LEFT_OUT) and "__pycache__" not in path.parts
    }


def _differ(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() != other.read_bytes()
    except FileNotFoundError:
        return True
