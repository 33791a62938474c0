"""What is no request that anybody should answer is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import RequestDecoder
from balancer.wire.limits import HEAD_MAX_BYTES, HEADERS_MAX
from tests.balancer.wire.http1.messages import CHUNKED, HOST, chunked, post, refusal
from tests.splits import drive, pieces


@given(st.lists(st.binary(max_size=200)))
def test_bytes_at_random_are_refused_or_waited_for(parts: list[bytes]) -> None:
    drive(RequestDecoder().feed, parts)
    got, _ = drive(RequestDecoder().feed, [b"POST / HTTP/1.1\r\n", *parts])
    assert len(got) <= 1 + sum(part.count(b"HTTP/") for part in parts)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -4\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"X: y\r\n z\r\n",
        b"X : y\r\n",
        b"X\t: y\r\n",
        b" X: y\r\n",
        b"X: y\nZ: z\r\n",
        b"X: y\rZ: z\r\n",
        b"X: a\0b\r\n",
        b"X\r\n",
        b": y\r\n",
        b"H\xffst: y\r\n",
        b"Host: there\r\n",
    ],
)
def test_what_smuggling_needs_is_refused(head: bytes) -> None:
    error = refusal(b"POST / HTTP/1.1\r\nHost: here\r\n" + head + b"\r\n4\r\nabcd\r\n0\r\n\r\n")
    assert error.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"4\r\nabcdXX0\r\n\r\n",
        b"4\nabcd\r\n0\r\n\r\n",
        b"4\r\nabcd\n0\r\n\r\n",
        b"4 \r\nabcd\r\n0\r\n\r\n",
        b"-4\r\nabcd\r\n0\r\n\r\n",
        b"0x4\r\nabcd\r\n0\r\n\r\n",
        b"4;a\nb\r\nabcd\r\n0\r\n\r\n",
        b"f" * 17 + b"\r\nabcd\r\n0\r\n\r\n",
        b"4\r\nabcd\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"\r\n",
    ],
)
def test_a_chunk_that_is_not_exact_is_refused(body: bytes) -> None:
    assert refusal(CHUNKED + body).status == 400


@pytest.mark.parametrize(
    "stream",
    [b"GET / HTTP/1.1\nHost: here\n\n", b"GET / HTTP/1.1\r\nHost: here\r\n\n", b"get / HTTP/1.1\r\nHost: here\r\n\r\n"],
)
def test_bare_line_feeds_and_unknown_methods_are_refused(stream: bytes) -> None:
    assert refusal(stream).status == 400


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"xchunked", b"identity"])
def test_no_transfer_coding_but_chunked_is_understood(coding: bytes) -> None:
    assert refusal(b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: " + coding + b"\r\n\r\n").status == 501


def test_http_1_0_knows_no_transfer_coding() -> None:
    assert refusal(CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n").status == 400


def test_http_1_1_must_name_its_host_and_1_0_need_not() -> None:
    assert refusal(b"GET / HTTP/1.1\r\n\r\n").status == 400
    found = RequestDecoder().feed(b"GET / HTTP/1.0\r\n\r\n")[0]
    assert (found.path, found.version) == ("/", "1.0")


@pytest.mark.parametrize("first", [b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\nHost: here\r\n\r\n"])
def test_other_versions_are_not_served(first: bytes) -> None:
    assert refusal(first).status == 505


def test_http_2_without_asking_is_refused() -> None:
    assert refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status == 400


def test_a_head_of_64_kib_is_refused_however_it_comes() -> None:
    for head in (b"X: " + b"a" * 65536, b"X: a\r\n" * 11_000, (b"X" * 60 + b": " + b"a" * 1000 + b"\r\n") * 64):
        stream = b"GET / HTTP/1.1\r\n" + HOST + head
        assert refusal(stream).status == 431
        assert refusal(*pieces(stream, range(0, len(stream), 1000))).status == 431


def test_header_fields_are_counted() -> None:
    most = b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * (HEADERS_MAX - 1)
    assert len(RequestDecoder().feed(most + b"\r\n")) == 1
    assert refusal(most + b"X: a\r\n\r\n").status == 431


def test_a_long_target_is_refused() -> None:
    stream = b"GET /" + b"a" * HEAD_MAX_BYTES + b" HTTP/1.1\r\nHost: here\r\n\r\n"
    assert refusal(stream).status == 414
    assert refusal(*pieces(stream, range(0, len(stream), 1000))).status == 414


@pytest.mark.parametrize("length", [b"100000000", b"8388609", b"0" * 5000 + b"4"])
def test_a_body_announced_too_long_is_refused_before_it_comes(length: bytes) -> None:
    assert refusal(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: " + length + b"\r\n\r\n").status == 413


def test_a_chunked_body_past_the_limit_is_refused() -> None:
    decoder = RequestDecoder(max_body_bytes=100)
    decoder.feed(CHUNKED)
    for _ in range(25):
        assert decoder.feed(b"4\r\nabcd\r\n") == []
    with pytest.raises(RemoteProtocolError) as raised:
        decoder.feed(b"1\r\na")
    assert raised.value.status == 413


def test_a_body_of_exactly_the_limit_is_allowed() -> None:
    decoder = RequestDecoder(max_body_bytes=100)
    assert decoder.feed(post(b"a" * 100))[0].body == b"a" * 100
    assert decoder.feed(chunked(b"b" * 100, 7))[0].body == b"b" * 100


@pytest.mark.parametrize(
    "flood", [CHUNKED + b"4;", CHUNKED + b"0\r\nX: ", CHUNKED + b"0" * 9, CHUNKED + b"0\r\n" + b"X: "]
)
def test_extensions_and_trailers_without_end_are_refused(flood: bytes) -> None:
    assert refusal(flood, *[b"0" * 60_000] * 5).status in (400, 431)


def test_connect_is_for_proxies() -> None:
    assert refusal(b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\n").status == 501


@pytest.mark.parametrize("target", [b"ftp://there/", b"there:80", b"a", b"http://"])
def test_other_targets_are_refused(target: bytes) -> None:
    assert refusal(b"GET " + target + b" HTTP/1.1\r\nHost: here\r\n\r\n").status == 400
