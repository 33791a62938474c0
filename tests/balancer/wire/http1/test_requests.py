"""Requests come whole, whatever pieces their bytes come in."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.http1 import HttpRequest, RequestDecoder
from balancer.wire.limits import BODY_MAX_BYTES
from tests.balancer.wire.http1.messages import CHUNKED, GET, HOST, chunked, post, refusal
from tests.splits import bytewise, cuts, drive, pieces


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


def test_the_default_limit_is_that_of_the_wire() -> None:
    head = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n"
    assert RequestDecoder().feed(head % BODY_MAX_BYTES) == []
    assert refusal(head % (BODY_MAX_BYTES + 1)).status == 413


@pytest.mark.parametrize("again", [False, True])
def test_of_a_body_that_is_coming_the_head_and_the_size_so_far_are_known_and_then_it_is_let_go(again: bool) -> None:
    decoder = RequestDecoder()
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nX-A: b\r\nContent-Length: 6\r\n\r\n"
    if again:
        decoder.feed(head + b"before")
    decoder.feed(head)
    assert (decoder.in_body, decoder.body_bytes, decoder.headers[b"x-a"]) == (True, 0, b"b")
    decoder.feed(b"abc")
    headers, held = decoder.headers, decoder.body_bytes
    assert held == 3
    [found] = decoder.feed(b"def")
    assert (found.body, decoder.body_bytes, decoder.in_body) == (b"abcdef", 0, False)
    assert found.headers is headers
