from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.admission.keys import (
    RESERVED_NAMES,
    WEIGHT_MAX,
    ClientKey,
    KeyTable,
    digest_of,
    line_of,
    parse_keys,
    parse_line,
)
from balancer.doors.classic import TENANT
from balancer.doors.clients import LOCAL_TENANT
from balancer.errors import ConfigError

ALICE, BOB = ClientKey("alice", digest_of(b"lb-a")), ClientKey("bob", digest_of(b"lb-b"), 2.5)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True).filter(
    lambda name: name.lower() not in RESERVED_NAMES
)
ENTRIES = st.builds(
    ClientKey,
    NAMES,
    st.binary(min_size=32, max_size=32),
    st.floats(min_value=0, exclude_min=True, max_value=WEIGHT_MAX) | st.integers(1, int(WEIGHT_MAX)),
)


def a_line(**changes: Any) -> str:
    fields = {"name": "alice", "sha256": digest_of(b"lb-a").hex(), "weight": 1, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def test_a_key_is_found_by_what_the_client_gives() -> None:
    table = KeyTable([ALICE, BOB])
    assert (table.find(b"lb-a"), table.find(b"lb-b")) == (ALICE, BOB)
    assert [key.name for key in table] == ["alice", "bob"] and len(table) == 2
    assert "alice" in table and "carol" not in table


def test_a_tenant_without_a_key_weighs_one() -> None:
    table = KeyTable([ALICE, BOB])
    assert [table.weight_of(name) for name in ("alice", "bob", "local", "classic", "")] == [1.0, 2.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("given", [b"", b"lb-", b"lb-A", b"lb-a ", b"alice", digest_of(b"lb-a"), b"\xff" * 1000])
def test_anything_else_is_nobody_s_key_the_digest_in_the_file_included(given: bytes) -> None:
    assert KeyTable([ALICE, BOB]).find(given) is None
    assert KeyTable().find(given) is None


@given(st.lists(ENTRIES, unique_by=(lambda key: key.name, lambda key: key.digest), max_size=8))
def test_what_is_written_is_read_back(keys: list[ClientKey]) -> None:
    assert list(parse_keys("\n".join(line_of(key) for key in keys))) == keys


def test_blank_lines_remarks_and_other_line_ends_are_passed_over() -> None:
    text = f"# ours\r\n\n  {line_of(ALICE)}\r\n   # his\n{line_of(BOB)}"
    assert list(parse_keys(text)) == [ALICE, BOB]
    assert list(parse_keys("")) == []


def test_a_weight_may_be_left_out_and_a_digest_written_in_capitals() -> None:
    assert parse_line(a_line(weight=None, sha256=digest_of(b"lb-a").hex().upper())) == ALICE


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice", "expected {"),
        ('["alice"]', "expected {"),
        ("[" * 100_000, "expected {"),
        (a_line(role="admin"), "unknown field 'role'"),
        (a_line(name=None), "name: expected"),
        (a_line(name=7), "name: expected"),
        (a_line(name=""), "a name is"),
        (a_line(name="a b"), "a name is"),
        (a_line(name="a\n"), "a name is"),
        (a_line(name="x" * 65), "a name is"),
        (a_line(name="Local"), "taken"),
        (a_line(sha256=None), "sha256: expected"),
        (a_line(sha256="lb-a"), "sha256: expected"),
        (a_line(sha256="0" * 63), "sha256: expected"),
        (a_line(sha256="0" * 63 + "\u0660"), "sha256: expected"),
        (a_line(weight="1"), "weight: expected"),
        (a_line(weight=True), "weight: expected"),
        (a_line(weight=0), "a weight is"),
        (a_line(weight=-1), "a weight is"),
        (a_line(weight=float("nan")), "a weight is"),
        (a_line(weight=float("inf")), "a weight is"),
        (a_line(weight=10**400), "a weight is"),
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_says_what_is_wrong(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^line 3: ") as raised:
        parse_keys(f"# keys\n{line_of(BOB)}\n{line}\n")
    assert said in str(raised.value)


def test_a_name_or_a_key_that_comes_twice_is_an_error() -> None:
    with pytest.raises(ConfigError, match="line 2: the name 'alice' comes twice"):
        parse_keys(f"{line_of(ALICE)}\n{a_line(sha256=digest_of(b'other').hex())}")
    with pytest.raises(ConfigError, match="line 2: 'carol' has the same key as 'alice'"):
        parse_keys(f"{line_of(ALICE)}\n{a_line(name='carol')}")


def test_nobody_can_be_named_like_those_who_need_no_key() -> None:
    assert {LOCAL_TENANT, TENANT} <= RESERVED_NAMES


@given(st.text())
def test_any_text_is_keys_or_a_told_error(text: str) -> None:
    try:
        assert len(parse_keys(text)) <= text.count("\n") + 1
    except ConfigError as error:
        said = str(error)
    else:
        return
    assert said.startswith("line ")
