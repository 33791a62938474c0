from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import http1
from balancer.wire.http1 import RequestDecoder, ResponseDecoder


def decoded(data: bytes) -> tuple[int, dict[bytes, bytes], bytes, bool]:
    decoder = ResponseDecoder()
    body = decoder.feed(data)
    assert decoder.complete
    return decoder.status, decoder.headers, body, decoder.keep_alive


@given(st.integers(200, 599).filter(lambda status: status not in (204, 304)), st.binary(), st.booleans())
def test_an_answer_reads_as_it_was_written(status: int, body: bytes, keep_alive: bool) -> None:
    got_status, headers, got_body, got_keep_alive = decoded(http1.response(status, body, keep_alive=keep_alive))
    assert (got_status, got_body, got_keep_alive) == (status, body, keep_alive)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(body)


def test_a_content_type_that_is_given_stands_alone() -> None:
    data = http1.response(200, b"ok", [("Content-Type", "text/plain")])
    assert decoded(data)[1][b"content-type"] == b"text/plain"
    assert data.lower().count(b"content-type") == 1


@given(st.lists(st.binary()))
def test_a_chunked_answer_reads_as_it_was_written(parts: list[bytes]) -> None:
    head = http1.response_head(200, [("content-type", "text/event-stream")], length=None)
    data = head + b"".join(map(http1.chunk, parts)) + http1.LAST_CHUNK
    assert decoded(data)[2] == b"".join(parts)


def test_an_empty_piece_does_not_end_a_chunked_body() -> None:
    assert http1.chunk(b"") == b""


@given(st.binary(), st.sampled_from(["GET", "POST"]))
def test_a_request_reads_as_it_was_written(body: bytes, method: str) -> None:
    [request] = RequestDecoder().feed(http1.request(method, "/v1/x?y", "here:80", body, [("x-request-id", "7")]))
    assert (request.method, request.path, request.query, request.body) == (method, "/v1/x", "y", body)
    assert request.headers[b"host"] == b"here:80"
    assert request.headers[b"x-request-id"] == b"7"
    assert request.headers[b"accept-encoding"] == b"identity"


def test_every_method_of_http_is_told_by_its_first_bytes() -> None:
    for method in http1.METHODS:
        if method != b"CONNECT ":
            assert len(RequestDecoder().feed(method + b"/ HTTP/1.1\r\nHost: here\r\n\r\n")) == 1


def test_a_body_of_unknown_length_ends_with_the_connection_where_chunks_are_not_known() -> None:
    head = http1.response_head(200, (), length=None, chunked=False, keep_alive=False)
    assert head == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
