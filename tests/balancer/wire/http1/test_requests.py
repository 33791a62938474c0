from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import HttpRequest, RequestDecoder
from balancer.wire.limits import BODY_MAX_BYTES, HEAD_MAX_BYTES, HEADERS_MAX
from tests.splits import bytewise, cuts, drive, pieces

HOST = b"Host: here\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"


def post(body: bytes, *, path: bytes = b"/v1/completions", headers: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: here\r\n%bContent-Length: %d\r\n\r\n%b" % (path, headers, len(body), body)


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def refusal(*stream: bytes) -> RemoteProtocolError:
    """The error that this input is refused with; nothing may come out before it."""
    decoder = RequestDecoder()
    with pytest.raises(RemoteProtocolError) as raised:  # noqa: PT012
        for piece in stream:
            assert decoder.feed(piece) == []
    with pytest.raises(RemoteProtocolError):
        decoder.feed(GET)  # and nothing after it
    return raised.value


def test_a_request_is_given_whole() -> None:
    [request] = RequestDecoder().feed(post(b'{"a":1}', path=b"/v1/x?y=1&z", headers=b"Accept: a\r\nACCEPT: b\r\n"))
    assert request == HttpRequest(
        "POST",
        "/v1/x",
        "y=1&z",
        {b"host": b"here", b"accept": b"b"},
        b'{"a":1}',
        keep_alive=True,
    )


requests = st.one_of(
    st.just(GET),
    st.binary(max_size=40).map(post),
    st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 9)).map(lambda pair: chunked(*pair)),
    st.just(b"\r\n"),
    st.just(b"HEAD /h?q HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    st.just(post(b"up", headers=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")),
)
rubbish = st.sampled_from(
    [b"JUNK", b"GET /\xff", b"GET / HTTP/3.0\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)


@given(st.lists(requests, max_size=6), cuts)
def test_any_split_gives_the_same_requests(messages: list[bytes], places: list[int]) -> None:
    stream = b"".join(messages)
    whole = drive(RequestDecoder().feed, [stream])
    assert whole[1] is None
    assert len(whole[0]) == sum(message != b"\r\n" for message in messages)
    assert drive(RequestDecoder().feed, pieces(stream, places)) == whole
    assert drive(RequestDecoder().feed, bytewise(stream)) == whole


@given(st.lists(requests, max_size=3), rubbish, cuts)
def test_requests_before_a_malformed_one_are_given_first(messages: list[bytes], bad: bytes, places: list[int]) -> None:
    good, _ = drive(RequestDecoder().feed, messages)
    got, code = drive(RequestDecoder().feed, pieces(b"".join(messages) + bad + b" \r\n\r\n", places))
    assert got == good
    assert code is not None


def test_an_error_behind_a_request_can_be_seen_before_the_next_bytes() -> None:
    decoder = RequestDecoder()
    assert len(decoder.feed(GET + b"JUNK")) == 1
    assert decoder.error is not None
    assert decoder.error.status == 400


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


def test_trailers_are_read_and_dropped() -> None:
    [request] = RequestDecoder().feed(CHUNKED + b"1;a=b\r\nx\r\n0\r\nHost: elsewhere\r\nX: y\r\n\r\n")
    assert request.body == b"x"
    assert request.headers[b"host"] == b"here"
    assert b"x" not in request.headers


def test_tiny_chunks_weigh_little_more_than_the_body() -> None:
    stream = chunked(b"ab" * (64 << 10), 2)
    tracemalloc.start()
    try:
        [request] = RequestDecoder().feed(stream)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(request.body) == 128 << 10
    assert peak_bytes < 1 << 20


def test_a_large_body_and_the_next_head_may_share_a_segment() -> None:
    decoder = RequestDecoder()
    assert [request.path for request in decoder.feed(post(b"a" * 100_000, path=b"/1") + b"GET /2 HT")] == ["/1"]
    assert [request.path for request in decoder.feed(b"TP/1.1\r\nHost: here\r\n\r\n")] == ["/2"]


def test_blank_lines_between_requests_never_add_up() -> None:
    decoder = RequestDecoder()
    for _ in range(200):
        assert decoder.feed(b"\r\n" * 1000) == []
    assert len(decoder.feed(GET)) == 1


@pytest.mark.parametrize(
    ("stream", "keep_alive"),
    [
        (GET, True),
        (b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_whether_the_connection_stays_open(stream: bytes, keep_alive: bool) -> None:
    assert RequestDecoder().feed(stream)[0].keep_alive is keep_alive


def test_nothing_is_read_behind_a_request_that_closes() -> None:
    decoder = RequestDecoder()
    assert len(decoder.feed(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n" + GET)) == 1
    assert decoder.error is not None


def test_a_client_that_waits_for_100_is_noticed_until_its_body_comes() -> None:
    decoder = RequestDecoder()
    head, body = post(b"abcd", headers=b"Expect: 100-continue\r\n")[:-4], b"abcd"
    assert decoder.feed(head) == []
    assert decoder.wants_continue
    assert decoder.feed(body[:1]) == []
    assert not decoder.wants_continue
    assert decoder.feed(body[1:])[0].body == body
    assert not decoder.wants_continue


def test_where_in_a_message_the_peer_is() -> None:
    decoder = RequestDecoder()
    states = [(decoder.in_message, decoder.in_body)]
    for piece in (b"POST / HT", b"TP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n", b"a", b"b"):
        decoder.feed(piece)
        states.append((decoder.in_message, decoder.in_body))
    assert states == [(False, False), (True, False), (True, True), (True, True), (False, False)]


@pytest.mark.parametrize("body", [post(b"abcd"), chunked(b"abcd", 2)])
def test_a_request_that_would_upgrade_is_answered_as_if_it_had_not_asked(body: bytes) -> None:
    asking = body.replace(HOST, HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n")
    for stream in ([asking + GET], bytewise(asking + GET)):
        [first, second], code = drive(RequestDecoder().feed, stream)
        assert isinstance(first, HttpRequest)
        assert (first.body, first.headers[b"http2-settings"], first.keep_alive) == (b"abcd", b"A", True)
        assert b"upgrade" not in first.headers
        assert (second, code) == (RequestDecoder().feed(GET)[0], None)


def test_connect_is_for_proxies() -> None:
    assert refusal(b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\n").status == 501


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/a?b?c", "/a", "b?c"),
        (b"*", "*", ""),
        (b"http://there:80/a?b", "/a", "b"),
        (b"HTTPS://there", "/", ""),
        (b"http://there?b", "/", "b"),
    ],
)
def test_a_target_is_a_path_or_an_http_url(target: bytes, path: str, query: str) -> None:
    [request] = RequestDecoder().feed(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize("target", [b"ftp://there/", b"there:80", b"a", b"http://"])
def test_other_targets_are_refused(target: bytes) -> None:
    assert refusal(b"GET " + target + b" HTTP/1.1\r\nHost: here\r\n\r\n").status == 400


def test_the_default_limit_is_that_of_the_wire() -> None:
    head = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n"
    assert RequestDecoder().feed(head % BODY_MAX_BYTES) == []
    assert refusal(head % (BODY_MAX_BYTES + 1)).status == 413
