from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.sse import DONE, EventSplitter, each_event, event, event_data
from tests.splits import bytewise, cuts, pieces

line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
streams = st.lists(
    st.sampled_from([b"data: a", b"data:b", b"data:  c", b"data", b":x", b"event: y", b"\n", b"\r", b"\r\n", b"\xc3"]),
    max_size=30,
).map(b"".join)


def reference(stream: bytes) -> list[bytes]:
    """The data of all complete events, read as the standard is written: line by line."""
    text = re.sub(rb"\r\n|\r", b"\n", stream)
    events: list[bytes] = []
    data: list[bytes] = []
    for line in text.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
        elif line.partition(b":")[0] == b"data":
            data.append(line.partition(b":")[2].removeprefix(b" "))
    return events


def relay(stream: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [*(splitter.feed(piece) for piece in stream), splitter.finish()]


@given(streams, cuts)
def test_any_split_relays_the_same_bytes_untouched(stream: bytes, places: list[int]) -> None:
    whole = b"".join(relay([stream]))
    assert stream.startswith(whole)
    for cut in (pieces(stream, places), bytewise(stream)):
        relayed = b"".join(relay(cut))
        assert stream.startswith(relayed)
        assert relayed.rstrip(b"\r\n") == whole.rstrip(b"\r\n")  # empty lines may wait for the next event


@given(streams, cuts)
def test_any_split_gives_the_events_of_the_standard(stream: bytes, places: list[int]) -> None:
    got = [data for run in relay(pieces(stream, places)) for data in event_data(run)]
    assert got == reference(stream)


@given(st.lists(st.text().filter(lambda text: not re.search("[\r\n]", text)), min_size=1), line_ends, cuts)
def test_text_comes_through_whatever_the_line_end(texts: list[str], end: bytes, places: list[int]) -> None:
    stream = b"".join(b"data: " + text.encode() + end + end for text in texts)
    got = [data.decode() for run in relay(pieces(stream, places)) for data in event_data(run)]
    assert got == texts


def test_half_an_event_is_held_back_and_dropped_at_the_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: one\n\ndata: tw") == b"data: one\n\n"
    assert splitter.finish() == b""


def test_a_line_end_cut_in_two_is_one_line_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: one\r\n\r") == b""
    assert splitter.feed(b"\ndata: two\r\n") == b"data: one\r\n\r\n"
    assert splitter.feed(b"\r\n") == b"data: two\r\n\r\n"


def test_a_last_event_that_ends_in_a_single_cr_is_whole() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: one\r\r") == b""
    assert splitter.finish() == b"data: one\r\r"


def test_an_event_without_end_is_refused_at_the_bound() -> None:
    splitter = EventSplitter(max_bytes=100)
    for _ in range(14):
        assert splitter.feed(b"data: x") == b""
    with pytest.raises(RemoteProtocolError) as raised:
        splitter.feed(b"xxx")
    assert raised.value.status == 502


def test_a_long_event_in_small_pieces_costs_time_in_proportion() -> None:
    piece = b"x" * 16
    splitter = EventSplitter()
    began = time.process_time()
    for _ in range(60_000):
        assert splitter.feed(piece) == b""
    # Searching all that is held for each piece would take minutes.
    assert time.process_time() - began < 5.0


def test_what_we_write_can_be_read() -> None:
    assert list(event_data(event(b'{"a":1}') + DONE)) == [b'{"a":1}', b"[DONE]"]


@given(
    st.lists(st.sampled_from([b"data: a", b"id: 7\ndata: b", b": note", b"data: x\ndata: y"]), max_size=6), line_ends
)
def test_each_event_is_given_as_it_came(events: list[bytes], end: bytes) -> None:
    whole = [one.replace(b"\n", end) + end * 2 for one in events]
    assert list(each_event(b"".join(whole))) == whole


def test_events_that_begin_and_end_like_the_first_are_alike() -> None:
    splitter = EventSplitter()
    assert splitter.alike(b": ping\n\n") and not splitter.begun
    assert splitter.alike(b'data: {"id":"x","a":1}\n\n') and splitter.begun
    assert splitter.alike(b'data: {"id":"x","choices":[{"b":2}]}\n\ndata: {"id":"x","c":3}\n\n')
    for other in (b'data: {"id":"x","te\n\n', b'data: {"error":1}\n\n', b'event: a\ndata: {"id":2}\n\n', b": ping\n\n"):
        assert not splitter.alike(other)


def test_engines_may_end_their_lines_as_they_like() -> None:
    splitter = EventSplitter()
    assert splitter.alike(b'data:{"id":"x","a":1}\r\n\r\n') and splitter.alike(b'data:{"id":"x"}\r\n\r\n')
    assert not splitter.alike(b'data:{"id":"x","b\r\n\r\n')
