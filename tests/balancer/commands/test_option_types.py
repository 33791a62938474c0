from __future__ import annotations

import click
import pytest

from balancer.commands.option_types import Seconds, Size, Structured


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), (4096, 4096), ("256 MiB", 256 << 20), ("256MiB", 256 << 20), ("3 kib", 3072), (" 1 GiB ", 1 << 30)],
)
def test_a_size_is_a_number_of_bytes_with_or_without_a_unit(text: str | int, size_bytes: int) -> None:
    assert Size().convert(text, None, None) == size_bytes


@pytest.mark.parametrize("text", ["", "-1", "1.5 MiB", "64 MB", "MiB", "many", True, "9" * 5000])
def test_what_is_no_size_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(click.BadParameter, match="64 MiB"):
        Size().convert(text, None, None)


def test_seconds_are_a_number() -> None:
    assert [Seconds().convert(each, None, None) for each in ("2", 0.5, "inf")] == [2.0, 0.5, float("inf")]
    for text in ("soon", "nan", None):
        with pytest.raises(click.BadParameter, match="no number of seconds"):
            Seconds().convert(text, None, None)


def test_a_mapping_is_taken_as_it_is_or_as_json() -> None:
    assert Structured().convert({"a": "b"}, None, None) == Structured().convert('{"a": "b"}', None, None)


@pytest.mark.parametrize("text", ["gpt-x=m", "[1]", "{", '"a"', "{" * 100_000])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a mapping"):
        Structured().convert(text, None, None)
