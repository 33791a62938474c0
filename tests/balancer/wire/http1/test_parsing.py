from __future__ import annotations

import pytest

from balancer.wire.http1.parsing import Head, Refused
from balancer.wire.limits import HEAD_MAX_BYTES, HEADERS_MAX


def test_names_are_lowered_and_the_last_value_counts() -> None:
    head = Head()
    head.add(b"Accept", b"a")
    head.add(b"ACCEPT", b"b")
    assert head.headers == {b"accept": b"b"}


@pytest.mark.parametrize("name", [b"Host", b"Transfer-Encoding"])
def test_fields_that_decide_where_a_message_goes_or_ends_come_once(name: bytes) -> None:
    head = Head()
    head.add(name, b"a")
    with pytest.raises(Refused) as raised:
        head.add(name.upper(), b"a")
    assert raised.value.error.status == 400


def test_the_bounds_of_a_head() -> None:
    many, long = Head(), Head()
    for _ in range(HEADERS_MAX):
        many.add(b"a", b"b")
    long.add(b"a", b"b" * (HEAD_MAX_BYTES - 5))
    for head in (many, long):
        with pytest.raises(Refused) as raised:
            head.add(b"a", b"b")
        assert raised.value.error.status == 431


def test_a_trailer_field_is_dropped() -> None:
    head = Head()
    head.complete = True
    head.add(b"host", b"elsewhere")
    assert head.headers == {}
