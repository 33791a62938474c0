"""The documents: lines that fit a terminal, links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
COLUMNS_MAX: Final = 120
PATH: Final = re.compile(r"`(?:\./)?((?:balancer|backend|client|frontend|scripts|tests|docs)/[\w./-]*\w)")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that somebody wrote by hand and could wrap: no tables, no code, no figures of a benchmark's."""
    code = made = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            code = not code
        elif line.startswith("<!-- "):
            made = line.endswith("replaces this -->")
        elif not code and not made and not line.startswith("|"):
            yield number, line


def heads(page: Path) -> set[str]:
    """The anchors that its headings have."""
    titles = (line.lstrip("# ") for _, line in prose(page) if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_wrapped(page: Path) -> None:
    long = [f"{page.name}:{number}: {len(line)} columns" for number, line in prose(page) if len(line) > COLUMNS_MAX]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in heads(target)):
            broken.append(link)
    assert not broken, broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = PATH.findall(page.read_text(encoding="utf-8"))
    assert not sorted({path for path in named if not (ROOT / path).exists()})
