from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.http1.repeats import LastHead, framed

HEAD = b"POST /v1/x HTTP/1.1\r\nhost: h\r\nContent-Length: 12\r\naccept: */*\r\n\r\n"


def known() -> LastHead[str]:
    head = framed(HEAD)
    assert head is not None
    last: LastHead[str] = LastHead()
    last.learn(head, "read")
    return last


def test_the_same_head_with_another_length_is_known() -> None:
    again = HEAD.replace(b"12", b"1234") + b"body"
    digits = known().digits(again)
    assert digits == b"1234"
    assert again[known().body_at(digits) :] == b"body"


def test_nothing_is_known_before_the_first() -> None:
    assert LastHead[str]().digits(HEAD) == b""


def test_a_head_without_length_or_without_its_end_is_not_framed() -> None:
    assert framed(HEAD[:-1]) is None
    assert framed(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n") is None


@given(st.binary(max_size=3), st.integers(0, len(HEAD)), st.integers(0, 3))
def test_a_head_that_differs_in_anything_but_the_digits_is_not_known(new: bytes, at: int, drop: int) -> None:
    other = HEAD[:at] + new + HEAD[at + drop :]
    digits = known().digits(other)
    if digits:
        found = framed(other)
        assert found is not None
        assert (found.before, found.digits, found.after) == (framed(HEAD) or found)._replace(digits=digits)
