from __future__ import annotations

from balancer.wire.errors import LocalProtocolError, ProtocolError, RemoteProtocolError


def test_every_error_carries_a_code_for_machines_and_words_for_people() -> None:
    for kind in (ProtocolError, LocalProtocolError, RemoteProtocolError):
        error = kind("some_code", "some words")
        assert (error.code, error.message, str(error)) == ("some_code", "some words", "some words")


def test_only_the_peers_fault_has_a_status() -> None:
    assert RemoteProtocolError("c", "m").status == 400
    assert RemoteProtocolError("c", "m", status=413).status == 413
    assert not hasattr(LocalProtocolError("c", "m"), "status")
