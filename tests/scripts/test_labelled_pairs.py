from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from scripts.labelled_pairs import Pair, read_pairs


def test_pairs_are_read_from_plain_and_packed_files(tmp_path: Path) -> None:
    text = 'b\ta\tduplicate\n"said ""so"""\ttwo\t1\nthree\tfour\t0\n'
    (tmp_path / "pairs.tsv").write_text(text)
    (tmp_path / "pairs.tsv.gz").write_bytes(gzip.compress(text.encode()))
    expected = [Pair("two", 'said "so"', 1), Pair("four", "three", 0)]
    assert read_pairs(tmp_path / "pairs.tsv") == expected
    assert read_pairs(tmp_path / "pairs.tsv.gz") == expected


def test_a_negated_pair_is_no_duplicate(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("a\tb\tnegated\nx\ty\t1\nx\tz\t0\n")
    assert [one.duplicate for one in read_pairs(tmp_path / "pairs.tsv")] == [0, 1]


@pytest.mark.parametrize("text", ["", "a\tb\n1\t2\n", "a\tb\tduplicate\nx\n"])
def test_another_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.tsv").write_text(text)
    with pytest.raises(ValueError, match=r"other\.tsv"):
        read_pairs(tmp_path / "other.tsv")
