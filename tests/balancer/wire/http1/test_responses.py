from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import ResponseDecoder
from tests.splits import bytewise, cuts, pieces

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
UNFRAMED = b"HTTP/1.1 200 OK\r\n\r\nhello"

Outcome = tuple[int, bytes, bool, bool, bool]


def answer(stream: list[bytes]) -> Outcome:
    """Status, body, complete, keep_alive, and whether an end of the connection here would end the answer."""
    decoder = ResponseDecoder()
    body = b"".join(map(decoder.feed, stream))
    return decoder.status, body, decoder.complete, decoder.keep_alive, decoder.ends_at_eof()


@pytest.mark.parametrize(
    ("stream", "outcome"),
    [
        (PLAIN, (200, b"hello", True, True, True)),
        (CHUNKED, (200, b"hello", True, True, True)),
        (INTERIM + PLAIN, (200, b"hello", True, True, True)),
        (INTERIM, (0, b"", False, False, False)),
        (UNFRAMED, (200, b"hello", False, False, True)),
        (UNFRAMED.replace(b"1.1", b"1.0"), (200, b"hello", False, False, True)),
        (PLAIN.replace(b"1.1", b"1.0"), (200, b"hello", True, False, True)),
        (PLAIN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), (200, b"hello", True, False, True)),
        (PLAIN[:-1], (200, b"hell", False, False, False)),
        (CHUNKED[:-1], (200, b"hello", False, False, False)),
        (PLAIN[:20], (0, b"", False, False, False)),
        (b"", (0, b"", False, False, False)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True, True, True)),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, b"", True, True, True)),
        (b"HTTP/1.1 429\r\nContent-Length: 0\r\n\r\n", (429, b"", True, True, True)),
    ],
)
@given(places=cuts)
def test_any_split_gives_the_same_answer(stream: bytes, outcome: Outcome, places: list[int]) -> None:
    assert answer([stream]) == outcome
    assert answer(pieces(stream, places)) == outcome
    assert answer(bytewise(stream)) == outcome


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 9), cuts)
def test_answers_follow_one_another(bodies: list[bytes], size: int, places: list[int]) -> None:
    decoder = ResponseDecoder()
    for body in bodies:
        parts = [body[i : i + size] for i in range(0, len(body), size)]
        stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Here: y\r\n\r\n"
        stream += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        assert b"".join(map(decoder.feed, pieces(stream, places))) == body
        assert decoder.complete
        assert decoder.headers[b"x-here"] == b"y"
        decoder.next()
        assert (decoder.status, decoder.complete, decoder.headers) == (0, False, {})


@pytest.mark.parametrize(
    "junk",
    [
        b"<html>no</html>",
        b"hello",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 High\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n",
    ],
)
def test_junk_is_the_backends_fault_once_and_for_all(junk: bytes) -> None:
    decoder = ResponseDecoder()
    with pytest.raises(RemoteProtocolError) as raised:
        decoder.feed(junk)
    assert raised.value.status == 502
    decoder.next()
    with pytest.raises(RemoteProtocolError):
        decoder.feed(PLAIN)


@pytest.mark.parametrize("more", [PLAIN, PLAIN[:30], b"HTTP", b"junk"])
def test_what_nobody_asked_for_neither_harms_nor_joins_the_answer(more: bytes) -> None:
    assert answer([PLAIN + more]) == (200, b"hello", True, False, True)
    assert answer([PLAIN, more]) == (200, b"hello", True, False, True)


@pytest.mark.parametrize("flood", [b"0\r\nX: ", b"4;"])
def test_trailers_and_extensions_without_end_are_refused(flood: bytes) -> None:
    decoder = ResponseDecoder(max_body_bytes=None)
    decoder.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + flood)
    with pytest.raises(RemoteProtocolError):  # noqa: PT012
        for _ in range(10):
            assert decoder.feed(b"a" * 60_000) == b""


def test_a_body_past_its_limit_is_refused_and_a_stream_has_none() -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        ResponseDecoder(max_body_bytes=4).feed(PLAIN)
    assert raised.value.code == "answer_too_large"
    assert ResponseDecoder(max_body_bytes=5).feed(PLAIN) == b"hello"
    stream = ResponseDecoder(max_body_bytes=None)
    stream.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    assert sum(len(stream.feed(b"a" * 60_000)) for _ in range(300)) == 18_000_000


@given(st.lists(st.binary(max_size=200)))
def test_bytes_at_random_are_refused_or_waited_for(parts: list[bytes]) -> None:
    for first in (b"", b"HTTP/1.1 200 OK\r\n"):
        decoder = ResponseDecoder()
        try:
            body_bytes = sum(len(decoder.feed(part)) for part in (first, *parts))
        except RemoteProtocolError:
            continue
        assert body_bytes <= sum(map(len, parts))
