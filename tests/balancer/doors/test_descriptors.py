from __future__ import annotations

import logging
import resource

import pytest

from balancer.doors.descriptors import KEPT_BACK_MIN, SAY_EVERY_S, Gate, raise_limit


def test_the_last_descriptors_are_kept_back() -> None:
    for limit, for_clients in ((256, 256 - KEPT_BACK_MIN), (20_000, 18_750)):
        gate = Gate(limit)
        assert gate.admits(for_clients - 1, 0.0) and not gate.admits(for_clients, 0.0)


def test_it_is_said_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(256)
    with caplog.at_level(logging.WARNING):
        for n in range(1000):
            assert not gate.admits(250, n * 0.001)
        assert len(caplog.records) == 1
        assert not gate.admits(250, SAY_EVERY_S)
    assert len(caplog.records) == 2 and "1000 refused" in caplog.text


def test_what_the_system_allows_is_taken() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        raised = raise_limit()
        assert raised >= soft and resource.getrlimit(resource.RLIMIT_NOFILE)[0] == raised
        assert raise_limit() == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
