from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.evaluate_cache import main

HEAD = "a\tb\tduplicate\n"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluate_cache", *arguments])
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (HEAD, ["pairs"], "no pairs"),
        ("x\ty\n", ["pairs"], "needs the columns"),
        (HEAD + "x\ty\t1\n", ["pairs", "--scores", "/nowhere/out.tsv"], "/nowhere/out.tsv"),
        (HEAD + "x\ty\t1\n", ["pairs", "--verdict", "LICENSE"], "no verdict's file"),
        (HEAD + "x\ty\t1\n", ["pairs", "--wrong-share", "2"], "no share"),
        (HEAD + "x\ty\t0\n", ["replay", "--all"], "too few duplicates"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(
    text: str,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pairs.tsv").write_text(text)
    assert run(monkeypatch, arguments[0], str(tmp_path / "pairs.tsv"), *arguments[1:]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.torch
def test_pairs_and_replay_tell_in_json_and_write_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    rows = [f"How do I open file {at}?\tHow can I open file {at}?\t1\n" for at in range(8)]
    rows += [f"How do I open file {at}?\tHow do I close file {at}?\t0\n" for at in range(8)]
    path, scores = tmp_path / "pairs.tsv", tmp_path / "scores.tsv"
    path.write_text(HEAD + "".join(rows))

    def told(*arguments: str) -> dict[str, Any]:
        assert run(monkeypatch, *arguments, "--json") == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    found = told("pairs", str(path), "--scores", str(scores))
    assert (found["pairs"], found["duplicates"], found["operating_point"]["of_others"]) == (16, 8, 0.0)
    lines = scores.read_text().splitlines()
    assert len(lines) == 16 and all(0 <= float(line) <= 1 for line in lines)
    assert min(map(float, lines[:8])) > max(map(float, lines[8:]))
    replayed = ("replay", str(path), "--all", "--requests", "60", "--work", str(tmp_path / "work"))
    found = told(*replayed)
    assert found == told(*replayed)
    assert found["stream"]["requests"] == 60
    assert found["caches"]["ours, wrong share 0.02"]["hit_rate"] > 0
