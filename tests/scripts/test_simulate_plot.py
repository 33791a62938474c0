"""Curves and means of what was simulated."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.simulate_parts.plot import draw
from scripts.simulate_parts.report import HEAD, Result, line, mean


def found(ttft_s: float) -> Result:
    times = (ttft_s, 2 * ttft_s, 4 * ttft_s, 1.5 * ttft_s)
    return Result(100, 1, *times, 10.0, 20.0, 1000.0, 0.9, 0.5, 1.1, 0.125, 1.0, 2.0)


def test_a_mean_is_of_each_number_and_requests_are_summed_up() -> None:
    both = mean([found(0.1), found(0.3)])
    assert (both.requests, both.unanswered) == (200, 2)
    assert both.ttft_p50_s == pytest.approx(0.2)
    assert both.ttft_p99_s == pytest.approx(0.8)
    assert both.busiest == pytest.approx(1.1)


def test_a_row_has_a_cell_for_each_column() -> None:
    head = HEAD.splitlines()
    assert head[0].count("|") == head[1].count("|") == line("random", found(0.1)).count("|")
    assert "(1 unanswered)" in line("random", found(0.1))


def test_the_same_numbers_are_the_same_picture(tmp_path: Path) -> None:
    drawn = [("chats", rate, policy, found(rate / 100)) for rate in (10.0, 20.0) for policy in ("a-policy", "another")]
    for name in ("one.svg", "two.svg"):
        draw(drawn, str(tmp_path / name))
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "two.svg").read_text()
    assert "a-policy" in picture and "chats: TTFT p99" in picture
