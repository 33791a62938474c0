from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import control
from balancer.wire.control import Challenge, Lease, Model, Prove, Refused, Register
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import BACKEND_MODELS_MAX, SLOTS_MAX

TOKEN = b"a shared token"
NONCE = "0f" * 16
FIELDS: dict[str, Any] = {
    "name": "gpu-1",
    "url": "http://127.0.0.1:1235",
    "models": [{"name": "storyteller", "context_length": 1024}],
    "endpoints": ["chat", "completions"],
    "slots": 4,
    "nonce": "ab" * 16,
    "instance": "one",
    "labels": {"zone": "a"},
}
LINE = control.message_line("register", FIELDS).rstrip(b"\n")


def test_a_registration_is_read() -> None:
    register = control.parse_fields(FIELDS, Register)
    assert register.models == (Model("storyteller", 1024),)
    assert (register.name, register.slots, register.weight) == ("gpu-1", 4, 1.0)
    assert register.labels == {"zone": "a"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a b"),
        ("name", "gpu-1\n"),
        ("name", "-gpu"),
        ("name", "a" * 129),
        ("name", 5),
        ("url", "x" * 513),
        ("url", "http://a\r\nx: y"),
        ("models", []),
        ("models", [{"name": ""}]),
        ("models", [{"name": "a\nb"}]),
        ("models", [{"name": "a", "context_length": 0}]),
        ("models", [{"name": f"m{i}"} for i in range(BACKEND_MODELS_MAX + 1)]),
        ("endpoints", []),
        ("slots", 0),
        ("slots", -1),
        ("slots", SLOTS_MAX + 1),
        ("slots", 1.5),
        ("slots", True),
        ("slots", 1 << 70),
        ("nonce", "ab"),
        ("nonce", "AB" * 16),
        ("nonce", "ab" * 16 + "\n"),
        ("nonce", "zz" * 16),
        ("weight", 0),
        ("weight", -1),
        ("weight", 1001),
        ("labels", {"a": 1}),
        ("labels", {f"k{i}": "v" for i in range(33)}),
        ("abilities", ["x"] * 33),
        ("engine", "x" * 65),
        ("version", "1\x1b[31m"),
        ("block_size", 0),
    ],
)
def test_a_field_out_of_range_is_named_in_the_error(field: str, value: object) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        control.parse_fields({**FIELDS, field: value}, Register)
    assert raised.value.code == "invalid_registration"
    assert field in raised.value.message


@pytest.mark.parametrize("field", ["name", "url", "models", "endpoints", "slots", "nonce", "instance"])
def test_a_field_that_is_missing_is_named_in_the_error(field: str) -> None:
    fields = {name: value for name, value in FIELDS.items() if name != field}
    with pytest.raises(RemoteProtocolError, match=field):
        control.parse_fields(fields, Register)


@pytest.mark.parametrize("fields", [None, [], "x", 5, True])
def test_what_is_no_object_is_no_registration(fields: object) -> None:
    with pytest.raises(RemoteProtocolError):
        control.parse_fields(fields, Register)


def test_fields_that_a_newer_agent_adds_are_passed_over() -> None:
    assert control.parse_fields({**FIELDS, "colour": "red"}, Register) == control.parse_fields(FIELDS, Register)


def test_the_proof_holds_for_its_token_nonce_and_line() -> None:
    assert control.proof_holds(TOKEN, NONCE, LINE, control.proof(TOKEN, NONCE, LINE).hex())


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"gpu-1", b"gpu-2"), (b":1235", b":1236"), (b'"slots":4', b'"slots":5'), (b"abab", b"abac"), (b"}}", b"} }")],
)
def test_an_altered_field_breaks_the_proof(old: bytes, new: bytes) -> None:
    mac = control.proof(TOKEN, NONCE, LINE).hex()
    altered = LINE.replace(old, new, 1)
    assert altered != LINE
    assert not control.proof_holds(TOKEN, NONCE, altered, mac)


def test_a_captured_proof_is_worth_nothing_under_another_nonce() -> None:
    mac = control.proof(TOKEN, NONCE, LINE).hex()
    assert not control.proof_holds(TOKEN, "1f" * 16, LINE, mac)


def test_another_token_proves_nothing() -> None:
    assert not control.proof_holds(TOKEN, NONCE, LINE, control.proof(b"", NONCE, LINE).hex())


def test_only_the_whole_mac_is_a_proof() -> None:
    mac = control.proof(TOKEN, NONCE, LINE).hex()
    for length in range(0, len(mac), 2):
        assert not control.proof_holds(TOKEN, NONCE, LINE, mac[:length])
    assert not control.proof_holds(TOKEN, NONCE, LINE, mac + "00")


@given(st.text(max_size=64))
def test_a_mac_at_random_is_simply_wrong(mac: str) -> None:
    assert not control.proof_holds(TOKEN, NONCE, LINE, mac)


def test_the_lease_key_is_not_the_proof_and_changes_with_each_registration() -> None:
    key = control.lease_key(TOKEN, NONCE, LINE)
    assert len(key) == 32
    assert key != control.proof(TOKEN, NONCE, LINE)
    assert key != control.lease_key(TOKEN, "1f" * 16, LINE)
    assert key != control.lease_key(TOKEN, NONCE, LINE + b" ")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("challenge", Challenge(NONCE)),
        ("prove", Prove("ab" * 32)),
        ("prove", Prove()),
        ("lease", Lease(17, 1.0, 3.0)),
        ("lease", Lease(17, 1.0, 3.0, "ab" * 32)),
        ("refused", Refused("conflict", "the name is taken", 30.0)),
    ],
)
def test_every_message_comes_back_as_it_was(kind: str, fields: msgspec.Struct) -> None:
    line = control.message_line(kind, fields)
    assert line.endswith(b"\n")
    got_kind, got_fields = control.parse_message(line.rstrip(b"\n"))
    assert got_kind == kind
    assert control.parse_fields(got_fields, type(fields)) == fields


@pytest.mark.parametrize(
    "lease",
    [
        {"id": -1, "beat_s": 1.0, "deadline_s": 3.0},
        {"id": 1 << 64, "beat_s": 1.0, "deadline_s": 3.0},
        {"id": 1, "beat_s": 0, "deadline_s": 3.0},
        {"id": 1, "beat_s": -1, "deadline_s": 3.0},
        {"id": 1, "beat_s": 1e9, "deadline_s": 3.0},
        {"id": 1, "beat_s": 1.0, "deadline_s": 0},
        {"id": 1, "beat_s": 1.0, "deadline_s": 3.0, "key": "xyz"},
        {"id": 1, "beat_s": 1.0, "deadline_s": 3.0, "key": ""},
    ],
)
def test_a_lease_that_an_agent_could_not_live_by_is_refused(lease: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        control.parse_fields(lease, Lease)


@pytest.mark.parametrize(
    "line", [b"", b"hello", b"[]", b"{}", b"5", b'{"\xff":1}', b'"\xff"', b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_message_is_an_error(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        control.parse_message(line)


@given(st.binary(max_size=200))
def test_messages_at_random_are_read_or_refused(line: bytes) -> None:
    try:
        kind, _ = control.parse_message(line)
    except RemoteProtocolError:
        return
    assert isinstance(kind, str)


@given(st.binary(max_size=512))
def test_a_datagram_travels_as_text(datagram: bytes) -> None:
    assert control.datagram_bytes(control.datagram_text(datagram)) == datagram


@pytest.mark.parametrize("text", [None, 5, [], "%%%", "abc", "é", "YQ==\n", "\ud800"])
def test_what_is_no_datagram_is_an_error(text: object) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        control.datagram_bytes(text)
    assert raised.value.code == "invalid_beat"
