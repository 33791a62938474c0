from __future__ import annotations

import logging
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from balancer.cache.changes import Came
from balancer.persistence.file import Batch, CacheFile, FileBusy, Kept
from tests.balancer.persistence.test_rows import KEY, OFFSET_S, SCOPE, an_entry

PAIR = b"p" * 32


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def came(*numbers: int, scope: bytes | None = None) -> list[Came]:
    return [Came(replace(an_entry(question=f"{number}?"), key=key(number)), scope) for number in numbers]


def batch(entries: list[Came] | None = None, **changes: Any) -> Batch:
    return Batch(entries or [], [], False, None, None, "e@1", OFFSET_S)._replace(**changes)


def read(path: Path, entries_max: int = 100) -> Kept:
    file = CacheFile(path)
    kept = file.read(150.0, OFFSET_S, entries_max)
    file.close()
    return kept


def wrote(path: Path, *batches: Batch) -> None:
    file = CacheFile(path)
    for each in batches:
        file.save(each)
    file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def test_a_new_file_is_empty_and_its_owners_alone(path: Path) -> None:
    assert read(path) == Kept([], [], [], None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    read(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_saved_is_read_in_its_order(path: Path) -> None:
    wrote(path, batch(came(1, 2, scope=SCOPE), denied=[PAIR], epochs={"all": 3}), batch(came(3)), batch(came(1)))
    kept = read(path)
    assert [each.entry.key for each in kept.entries] == [key(2), key(3), key(1)]
    assert [(each.scope, each.embedder) for each in kept.entries] == [(SCOPE, "e@1"), (None, None), (None, None)]
    assert (kept.denied, kept.epochs, kept.lost) == ([PAIR], {"all": 3}, [])


def test_what_is_gone_is_gone_and_a_whole_replaces_all(path: Path) -> None:
    wrote(path, batch(came(1, 2, 3)), batch(gone=[key(2)]))
    assert len(read(path).entries) == 2
    wrote(path, batch(came(9), whole=True))
    assert [each.entry.key for each in read(path).entries] == [key(9)]


def test_of_more_than_there_may_be_the_oldest_are_not_read(path: Path) -> None:
    wrote(path, batch(came(1, 2, 3)))
    kept = read(path, entries_max=2)
    assert [each.entry.key for each in kept.entries] == [key(2), key(3)]
    assert kept.lost == [key(1)]


def test_rows_that_make_no_sense_are_passed_over(path: Path) -> None:
    wrote(path, batch(came(1)))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO entries VALUES (?, 'nonsense')", (key(2),))
        connection.execute("INSERT INTO entries VALUES (?, x'00')", (key(3),))
        connection.execute("INSERT INTO denied VALUES (x'00')")
    connection.close()
    kept = read(path)
    assert [each.entry.key for each in kept.entries] == [key(1)]
    assert (kept.lost, kept.denied) == ([key(2), key(3)], [])


@pytest.mark.parametrize("damage", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_told(path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(damage)
    assert read(path) == Kept([], [], [], None)
    aside = path.with_name("cache.db.aside")
    assert aside.read_bytes() == damage
    assert str(aside) in caplog.text
    wrote(path, batch(came(1)))
    assert len(read(path).entries) == 1


def test_a_file_damaged_in_the_middle_costs_the_entries_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrote(path, batch(came(*range(500))))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 6000] = b"\x5a" * 6000
    path.write_bytes(data)
    read(path)
    assert path.with_name("cache.db.aside").exists()
    assert "can't be read" in caplog.text


def test_a_file_of_another_format_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrote(path, batch(came(1), epochs={}))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
    connection.close()
    assert read(path).entries == []
    assert "format 99" in caplog.text


def test_damaged_epochs_are_a_damaged_file(path: Path) -> None:
    wrote(path, batch(came(1), epochs={}))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '{' WHERE name = 'epochs'")
    connection.close()
    assert read(path) == Kept([], [], [], None)


def test_two_processes_never_share_a_file(path: Path) -> None:
    first = CacheFile(path)
    with pytest.raises(FileBusy, match="in use"):
        CacheFile(path)
    first.close()
    CacheFile(path).close()


def test_a_path_that_cannot_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        CacheFile(tmp_path / "missing" / "cache.db")


def test_what_cannot_be_written_is_told_once_and_may_be_tried_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    file = CacheFile(path)
    bad = batch([Came(replace(an_entry(), created="soon"), None)])
    for each in (bad, bad, batch(came(1))):
        file.save(each)
    file.close()
    assert (file.trouble, caplog.text.count("can't be written")) == (None, 1)
    assert "can be written again" in caplog.text
    assert [each.entry.key for each in read(path).entries] == [key(1)]


def test_a_text_that_is_no_unicode_is_kept(path: Path) -> None:
    wrote(path, batch([Came(an_entry(question="\ud800?"), None)]))
    (kept,) = read(path).entries
    assert kept.entry.question == "\ud800?" and kept.entry.key == KEY
