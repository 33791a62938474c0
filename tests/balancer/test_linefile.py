from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from balancer.errors import ConfigError
from balancer.linefile import LineFile

SOON_S = 10.0


def test_lines_are_appended_to_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for text in (b"one\n", b"two\nthree\n"):
        lines = LineFile(str(path))
        lines.write(text, text.count(b"\n"))
        assert lines.close(SOON_S)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0
    assert (lines.pending_bytes, lines.lost_lines) == (0, 0)


@pytest.mark.parametrize("name", ["missing/access.log", "."])
def test_a_file_that_cannot_be_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^access-log: .*" + name.partition("/")[0]):
        LineFile(str(tmp_path / name))


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = LineFile(str(path))
    lines.write(b"before\n", 1)
    written(lines)
    path.rename(tmp_path / "access.log.1")
    lines.write(b"after\n", 1)
    written(lines)
    path.unlink()
    lines.write(b"at last\n", 1)
    assert lines.close(SOON_S)
    assert (tmp_path / "access.log.1").read_bytes() == b"before\n"
    assert path.read_bytes() == b"at last\n"


def test_it_is_opened_again_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = LineFile(str(path))
    lines.reopen()
    lines.write(b"one\n", 1)
    assert lines.close(SOON_S)
    assert path.read_bytes() == b"one\n"


def test_where_the_new_file_cannot_be_the_old_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = LineFile(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    lines.write(b"one\n", 1)
    lines.write(b"two\n", 1)
    assert lines.close(SOON_S)
    assert (tmp_path / "moved" / "access.log").read_bytes() == b"one\ntwo\n"
    assert lines.lost_lines == 0


def test_a_pipe_that_nobody_empties_delays_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    lines = LineFile(str(path))
    batch = b"x" * (4 << 20) + b"\n"
    lines.write(batch, 1)
    assert not lines.close(0.05)
    assert lines.pending_bytes == len(batch)
    os.close(reader)  # what is left of it breaks now, and the thread ends
    ended(lines)
    assert lines.lost_lines == 1


def test_a_pipe_without_a_reader_is_an_error_not_a_wait(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="access-log"):
        LineFile(str(path))


def test_what_a_full_disk_takes_no_more_is_counted() -> None:
    lines = LineFile("/dev/full")
    lines.write(b"one\ntwo\n", 2)
    lines.write(b"three\n", 1)
    assert lines.close(SOON_S)
    assert (lines.lost_lines, lines.pending_bytes) == (3, 0)


def test_after_a_torn_line_the_next_begins_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = LineFile(str(path))
    lines.write(b"half a li", 1)
    lines.write(b"whole\n", 1)
    assert lines.close(SOON_S)
    assert path.read_bytes() == b"half a li\nwhole\n"


def test_standard_output_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    lines = LineFile("-")
    lines.write(b"one\n", 1)
    assert lines.close(SOON_S)
    os.write(1, b"two\n")
    assert capfd.readouterr().out == "one\ntwo\n"


def written(lines: LineFile) -> None:
    """Wait until all that was given is written."""
    done = threading.Event()
    for _ in range(int(SOON_S / 0.002)):
        if not lines.pending_bytes:
            return
        done.wait(0.002)
    raise AssertionError("the thread did not write in time")


def ended(lines: LineFile) -> None:
    lines._thread.join(SOON_S)
    assert not lines._thread.is_alive()
