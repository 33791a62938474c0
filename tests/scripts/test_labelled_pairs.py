from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from scripts.labelled_pairs import Pair, read_pairs

HEAD = "a\tb\tduplicate\n"


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


def test_quotes_that_can_be_no_csv_are_letters(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text(HEAD + '"Why" is it?\t"no end\t1\nx\ty\t0\n')
    assert read_pairs(tmp_path / "pairs.tsv") == [Pair('"Why" is it?', '"no end', 1), Pair("x", "y", 0)]


def test_other_columns_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_bytes("\ufeffid\ta\tb\tduplicate\n7\tx\ty\t1\n\n".encode())
    assert read_pairs(tmp_path / "pairs.tsv") == [Pair("x", "y", 1)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no a, b, duplicate"),
        (b"a\tb\n1\t2\n", "no duplicate"),
        (HEAD.encode() + b"x\ty\t1\nx\n", "row 3 has 1 columns"),
        (HEAD.encode() + b"x\ty\tmaybe\n", "row 2: duplicate is 'maybe'"),
        (HEAD.encode() + b"\xff\ty\t1\n", "no UTF-8 at byte 14"),
        (gzip.compress(HEAD.encode() * 9, mtime=0)[:-9], "damaged gzip"),
    ],
)
def test_another_file_is_an_error_that_tells_where(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "other.tsv").write_bytes(data)
    with pytest.raises(ValueError, match=rf"other\.tsv.*{said}"):
        read_pairs(tmp_path / "other.tsv")
