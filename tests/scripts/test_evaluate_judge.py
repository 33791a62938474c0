from __future__ import annotations

import json
from pathlib import Path

import pytest

from balancer.cache.judge_error import JudgeError, judge_error
from scripts.evaluate_judge import Labelled, Result, measure, read_labelled, shown


def test_errors_of_both_kinds_are_counted() -> None:
    labelled = [
        Labelled("q", "It is Paris.", "paris, it is", True),
        Labelled("q", "It is Paris.", "Paris, on the Seine", True),
        Labelled("q", "It is Paris.", "It is Lyon.", False),
        Labelled("q", "It is Paris.", "it is paris", True),
        Labelled("q", "It is Paris.", "x" * 10_000, False),
        Labelled("q", "It is Paris.", "who knows", False),
    ]
    replies = iter(["yes", "no", "Yes.", "perhaps"])
    found = measure(labelled, lambda prompt: next(replies))
    assert found == Result(right=2, false_no=1, wrong=1, false_yes=1, undecided=2, equal=1)


def test_what_is_shown_is_the_option() -> None:
    text = shown(Result(200, 4, 100, 5, 3, 10))
    assert judge_error(text.rpartition(" ")[2]) == JudgeError(0.05, 0.02, 100)
    assert "both kinds" in shown(Result(200, 4, 0, 0, 0, 0))


def test_labelled_answers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    row = {"question": "q", "known": "a\nb", "fresh": "c", "same": False, "more": 1}
    path.write_text(json.dumps(row) + "\n\n")
    assert read_labelled(path) == [Labelled("q", "a\nb", "c", False)]


@pytest.mark.parametrize("line", ["{", "{}", "[]", '{"question":1,"known":"a","fresh":"b","same":true}'])
def test_a_line_that_is_none_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("\n" + line + "\n")
    with pytest.raises(ValueError, match=r"answers\.jsonl:2"):
        read_labelled(path)
