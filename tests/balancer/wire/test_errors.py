from __future__ import annotations

from balancer.wire.errors import RemoteProtocolError


def test_an_error_carries_a_code_for_machines_and_words_for_people() -> None:
    error = RemoteProtocolError("some_code", "some words")
    assert (error.code, error.message, str(error)) == ("some_code", "some words", "some words")
    assert error.status == 400
    assert RemoteProtocolError("c", "m", status=413).status == 413
