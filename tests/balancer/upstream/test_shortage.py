from __future__ import annotations

import errno
import logging
import os

import pytest

from balancer.upstream.shortage import TOLD_EVERY_S, Shortage


def an_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "host", "ours"),
    [
        (errno.EMFILE, "10.0.0.7", True),
        (errno.ENFILE, "10.0.0.7", True),
        (errno.ENOBUFS, "::1", True),
        (errno.ENOMEM, "10.0.0.7", True),
        (errno.EADDRNOTAVAIL, "10.0.0.7", True),
        (errno.EADDRNOTAVAIL, "2001:db8::7", False),
        (errno.ECONNREFUSED, "10.0.0.7", False),
        (errno.EHOSTUNREACH, "10.0.0.7", False),
    ],
)
def test_what_this_machine_lacks_is_told_from_what_the_peer_does(number: int, host: str, ours: bool) -> None:
    assert Shortage().explains(an_error(number), host, 0.0) is ours


def test_an_error_without_number_is_not_ours() -> None:
    assert not Shortage().explains(OSError("it closed"), "10.0.0.7", 0.0)


def test_it_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    shortage = Shortage()
    with caplog.at_level(logging.WARNING):
        for now in (5.0, 5.1, 5.0 + TOLD_EVERY_S - 0.1, 5.0 + TOLD_EVERY_S, 5.1 + TOLD_EVERY_S):
            assert shortage.explains(an_error(errno.EMFILE), "10.0.0.7", now)
        shortage.explains(an_error(errno.ECONNREFUSED), "10.0.0.7", 1000.0)
    assert len(caplog.records) == 2
    assert "10.0.0.7" in caplog.text and "open files" in caplog.text
