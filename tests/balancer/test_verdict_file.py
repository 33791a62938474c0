from __future__ import annotations

from pathlib import Path

import pytest

from balancer.verdict_file import VERDICT, VERDICT_BYTES_MAX, learned_verdict


def test_a_smaller_wrong_share_takes_a_greater_probability() -> None:
    strict, loose = learned_verdict(VERDICT, 0.01), learned_verdict(VERDICT, 0.1)
    assert strict is not None and loose is not None
    assert strict.threshold > loose.threshold


@pytest.mark.parametrize("data", [None, b"", b"no verdict", b"\0" * (VERDICT_BYTES_MAX + 1)])
def test_a_damaged_file_is_warned_of_and_costs_the_learned_verdict_alone(
    data: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "verdict.npz"
    if data is not None:
        path.write_bytes(data)
    assert learned_verdict(path, 0.02) is None
    assert "--cache-threshold" in caplog.text and str(path) in caplog.text


def test_a_share_that_cannot_be_kept_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert learned_verdict(VERDICT, 0.0) is not None
    assert "no near match is served" in caplog.text
