from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.accesslog import PENDING_MAX_BYTES, TOLD_EVERY_S, AccessLog
from tests.balancer.records import a_record, refused

NOON = 1_800_000_000.0625


class KeptLines:
    """Keeps what it is given; ``pending_bytes`` and ``lost_lines`` are the test's to set."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []
        self.pending_bytes = 0
        self.lost_lines = 0
        self.reopened = 0
        self.ends = True

    def write(self, batch: bytes, lines: int) -> None:
        self.batches.append((batch.decode("ascii"), lines))

    def reopen(self) -> None:
        self.reopened += 1

    def close(self, within_s: float) -> bool:
        return self.ends

    @property
    def text(self) -> str:
        return "".join(batch for batch, _ in self.batches)


def a_log(*, as_json: bool = False, now: float = NOON) -> tuple[AccessLog, KeptLines]:
    kept = KeptLines()
    return AccessLog(kept, lambda: now, as_json=as_json), kept


def test_a_line_for_people() -> None:
    log, kept = a_log()
    log.observe(a_record(tenant="alice", resumed=1))
    log.flush(0.0)
    assert kept.text == (
        "time=2027-01-15T08:00:00.062Z id=000000000000000000000000 tenant=alice model=m backend=a outcome=completed "
        "status=200 attempts=1 resumed=1 queue_ms=2 ttft_ms=50 total_ms=1234 tokens_in=17 tokens_out=42 cache=miss\n"
    )


def test_a_line_for_programs() -> None:
    log, kept = a_log(as_json=True)
    log.observe(a_record())
    log.flush(0.0)
    assert json.loads(kept.text) == {
        "time": "2027-01-15T08:00:00.062Z", "id": "0" * 24, "tenant": "local", "model": "m", "backend": "a",
        "outcome": "completed", "status": 200, "attempts": 1, "resumed": 0, "queue_ms": 2, "ttft_ms": 50,
        "total_ms": 1234, "tokens_in": 17, "tokens_out": 42, "cache": "miss",
    }  # fmt: skip


def test_what_a_refused_request_never_had_is_nothing() -> None:
    for as_json in (False, True):
        log, kept = a_log(as_json=as_json)
        log.observe(refused("nobody's"))
        log.flush(0.0)
        if as_json:
            found = json.loads(kept.text)
            assert [found[name] for name in ("backend", "ttft_ms", "tokens_in", "tokens_out", "cache")] == [None] * 5
        else:
            assert "backend=- " in kept.text and "ttft_ms=- " in kept.text and kept.text.endswith("cache=-\n")


@given(st.text(max_size=300), st.text(max_size=300), st.booleans())
def test_no_value_can_end_its_line_or_pass_for_another_field(id: str, model: str, as_json: bool) -> None:
    log, kept = a_log(as_json=as_json)
    for _ in range(2):  # the second time from memory
        log.observe(a_record(id=id, model=model, backend="a b", outcome='x" status=200'))
    log.flush(0.0)
    first, second, end = kept.text.split("\n")
    assert first == second and end == "" and first.isprintable() | ("\x7f" in model + id)
    if as_json:
        found = json.loads(first)
        assert (found["id"], found["backend"]) == (id[:128], "a b")
        assert (found["model"], found["outcome"]) == (model[:128] or None, 'x" status=200')
    else:
        fields = [field.partition("=")[0] for field in shlex.split(first)]
        assert fields == [
            "time", "id", "tenant", "model", "backend", "outcome", "status", "attempts", "resumed",
            "queue_ms", "ttft_ms", "total_ms", "tokens_in", "tokens_out", "cache",
        ]  # fmt: skip


def test_a_dash_that_somebody_sent_is_not_nothing() -> None:
    log, kept = a_log()
    log.observe(a_record(model="-"))
    log.flush(0.0)
    assert 'model="-" ' in kept.text


def test_ten_thousand_random_names_are_not_kept() -> None:
    log, _ = a_log()
    for n in range(10_000):
        log.observe(refused(f"model-{n}"))
        log.observe(refused(f"{n}" * 200))
    assert len(log._known) <= 1025


def test_lines_go_out_in_one_batch_a_tick() -> None:
    log, kept = a_log()
    for _ in range(3):
        log.observe(a_record())
    assert not kept.batches
    log.flush(0.0)
    log.flush(0.25)
    assert [lines for _, lines in kept.batches] == [3]


def test_what_a_slow_disk_leaves_no_room_for_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    log, kept = a_log()
    kept.pending_bytes = PENDING_MAX_BYTES + 1
    for _ in range(3):
        log.observe(a_record())
    kept.lost_lines = 2
    for now in (0.0, 1.0):
        log.flush(now)
    assert log.dropped_lines == 5
    assert [record.message for record in caplog.records] == ["5 lines of the access log were dropped"]
    log.observe(a_record())
    log.flush(1.25)
    log.flush(TOLD_EVERY_S)
    assert len(caplog.records) == 2
    kept.pending_bytes = 0
    log.observe(a_record())
    log.flush(TOLD_EVERY_S)
    assert len(kept.batches) == 1


def test_what_waits_for_a_tick_is_bounded() -> None:
    log, kept = a_log()
    while not log.dropped_lines:
        log.observe(a_record(model="m" * 128))
    log.flush(0.0)
    assert PENDING_MAX_BYTES <= len(kept.text) <= PENDING_MAX_BYTES + 1024


def test_the_last_lines_are_written_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    log, kept = a_log()
    log.observe(a_record())
    log.reopen()
    log.close(0.0)
    assert (len(kept.batches), kept.reopened, caplog.records) == (1, 1, [])
    kept.ends, kept.pending_bytes = False, 7
    log.close(0.0)
    assert "7 bytes are lost" in caplog.text
