from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

import pytest

from balancer.admission.keys import digest_of
from balancer.errors import ConfigError
from balancer.keyfile import add_key, read_keys, remove_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_a_key_that_is_made_is_found_and_stands_nowhere(path: Path) -> None:
    key = add_key(path, "alice", 2.0)
    assert re.fullmatch(r"lb-[A-Za-z0-9_-]{40,}", key)
    found = read_keys(path).find(key.encode())
    assert found is not None and (found.name, found.weight) == ("alice", 2.0)
    assert key not in path.read_text() and digest_of(key.encode()).hex() in path.read_text()


def test_no_two_keys_are_the_same(path: Path) -> None:
    assert len({add_key(path, f"client-{n}") for n in range(20)}) == 20
    assert len(read_keys(path)) == 20


def test_only_the_owner_reads_the_file(path: Path) -> None:
    add_key(path, "alice")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    add_key(path, "bob")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_has_one_key_and_a_removed_one_may_come_again(path: Path) -> None:
    first = add_key(path, "alice")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="'alice' has a key"):
        add_key(path, "alice")
    assert path.read_bytes() == before
    remove_key(path, "alice")
    assert read_keys(path).find(first.encode()) is None
    second = add_key(path, "alice")
    assert read_keys(path).find(second.encode()) is not None


def test_what_a_person_wrote_into_the_file_stays(path: Path) -> None:
    add_key(path, "alice")
    path.write_text("# partners\n\n" + path.read_text() + "# the end")
    add_key(path, "bob")
    remove_key(path, "alice")
    lines = path.read_text().split("\n")
    assert lines[:3] == ["# partners", "", "# the end"] and '"bob"' in lines[3] and lines[4:] == [""]


def test_removing_who_has_no_key_is_an_error(path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        remove_key(path, "alice")
    add_key(path, "bob")
    with pytest.raises(ConfigError, match="there is no 'alice'"):
        remove_key(path, "alice")


@pytest.mark.parametrize("name", ["", "a b", "local", "classic", "../x", "-x"])
def test_a_name_that_cannot_be_makes_no_file(path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        add_key(path, name)
    assert not path.exists()


def test_a_file_that_cannot_be_is_named_with_its_line_and_left_alone(path: Path) -> None:
    path.write_text("# keys\nalice\n")
    for change in (read_keys, lambda path: add_key(path, "bob"), lambda path: remove_key(path, "alice")):
        with pytest.raises(ConfigError, match=f"^keys: {re.escape(str(path))}, line 2: expected"):
            change(path)
    assert path.read_text() == "# keys\nalice\n"


def test_a_file_that_cannot_be_read_is_an_error_and_not_no_keys(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^keys: No such file .*keys\.jsonl"):
        read_keys(path)
    with pytest.raises(ConfigError, match=r"^keys: Is a directory"):
        read_keys(path.parent)
    with pytest.raises(ConfigError, match=r"^keys: No such file"):
        add_key(path / "deeper" / "keys", "alice")
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_keys(path)


def test_a_write_that_fails_leaves_the_old_keys_and_no_rest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_key(path, "alice")
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        add_key(path, "bob")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    add_key(link, "alice")
    assert link.is_symlink() and "alice" in read_keys(path)


def test_two_commands_do_not_change_it_at_once(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another command"):
            add_key(path, "alice")
    finally:
        os.close(folder)
    add_key(path, "alice")
