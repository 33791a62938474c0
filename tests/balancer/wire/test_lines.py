from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.lines import LineDecoder
from tests.splits import bytewise, cuts, drive, pieces

LINE_MAX_BYTES = 8
streams = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"12345678", b"\xff"]), max_size=40).map(
    b"".join
)


def expected(stream: bytes) -> tuple[list[object], str | None]:
    """What the format says, without any framing code."""
    *whole, rest = stream.split(b"\n")
    lines: list[object] = []
    for line in whole:
        if len(line) > LINE_MAX_BYTES:
            return lines, "line_too_long"
        lines.append(line.removesuffix(b"\r"))
    return lines, "line_too_long" if len(rest) > LINE_MAX_BYTES else None


@given(streams, cuts)
def test_any_split_gives_the_same_lines(stream: bytes, places: list[int]) -> None:
    assert drive(LineDecoder(LINE_MAX_BYTES).feed, pieces(stream, places)) == expected(stream)
    assert drive(LineDecoder(LINE_MAX_BYTES).feed, bytewise(stream)) == expected(stream)


@given(st.lists(st.binary(max_size=12)))
def test_no_more_than_one_line_is_ever_held(parts: list[bytes]) -> None:
    decoder = LineDecoder(LINE_MAX_BYTES)
    for part in parts:
        try:
            decoder.feed(part)
        except RemoteProtocolError:
            assert decoder.buffered_bytes == 0
        assert decoder.buffered_bytes <= LINE_MAX_BYTES


def test_lines_before_one_that_is_too_long_still_count() -> None:
    decoder = LineDecoder(LINE_MAX_BYTES)
    assert decoder.feed(b"one\ntwo\n" + b"x" * 9) == [b"one", b"two"]
    assert decoder.error is not None
    with pytest.raises(RemoteProtocolError) as raised:
        decoder.feed(b"\nthree\n")
    assert (raised.value.code, raised.value.status) == ("line_too_long", 413)


def test_after_a_line_that_was_too_long_nothing_is_read() -> None:
    decoder = LineDecoder(LINE_MAX_BYTES)
    for data in (b"123456789", b"fine\n", b""):
        with pytest.raises(RemoteProtocolError):
            decoder.feed(data)


def test_the_longest_line_is_allowed() -> None:
    assert LineDecoder(LINE_MAX_BYTES).feed(b"12345678\n") == [b"12345678"]


def test_the_end_of_the_stream_gives_a_line_without_its_newline() -> None:
    decoder = LineDecoder(LINE_MAX_BYTES)
    assert decoder.feed(b"one\ntw") == [b"one"]
    assert decoder.rest() == b"tw"
    assert decoder.rest() == b""
