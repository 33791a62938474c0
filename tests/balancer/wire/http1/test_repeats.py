from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import HttpRequest, RequestDecoder, ResponseDecoder
from balancer.wire.http1.repeats import LastHead, framed
from tests.splits import cuts, pieces

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\nAccept: y\r\n\r\n"
FIELDS = (
    b"",
    b"Accept: a\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
    b"Expect: 100-continue\r\n",
)

ANSWERED = (b"", b"A: b\r\n", b"Connection: close\r\n")


def known(head: bytes = HEAD % b"12") -> LastHead[str]:
    last: LastHead[str] = LastHead()
    found = framed(head)
    assert found is not None
    last.learn(found, "read")
    return last


def test_a_head_is_known_again_whatever_its_length() -> None:
    last = known()
    for digits in (b"12", b"0", b"98765", b"007"):
        data = HEAD % digits + b"body"
        found = last.match(data)
        assert found is not None
        assert (data[found[0] :], found[1]) == (b"body", int(digits))
    assert last.read == "read"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD[:-1] % b"12",
        HEAD % b"",
        HEAD % b"-1",
        HEAD % b" 1",
        HEAD % b"1_0",
        HEAD % b"1234567890123456",
        HEAD % b"12\r\nContent-Length: 12",
        HEAD.replace(b"Accept", b"accept") % b"12",
        b"\r\n" + HEAD % b"12",
    ],
)
def test_any_other_difference_makes_it_another_head(data: bytes) -> None:
    assert known().match(data) is None


def test_nothing_is_known_before_something_was_learnt() -> None:
    assert LastHead[str]().match(HEAD % b"1") is None


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HEAD[:-2] % b"1", HEAD % b"x"])
def test_a_head_that_is_cut_or_tells_no_length_has_no_frame(data: bytes) -> None:
    assert framed(data) is None


def post(fields: bytes, body: bytes) -> bytes:
    return b"POST /p?q HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)


def outcome(decoder: RequestDecoder, stream: list[bytes]) -> tuple[list[HttpRequest], str]:
    requests: list[HttpRequest] = []
    try:
        for piece in stream:
            requests += decoder.feed(piece)
        return requests, decoder.error.code if decoder.error is not None else ""
    except RemoteProtocolError as error:
        return requests, error.code


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.binary(max_size=9)), min_size=2, max_size=6), cuts)
def test_requests_that_come_one_by_one_are_read_as_those_that_come_at_once(
    asked: list[tuple[bytes, bytes]], places: list[int]
) -> None:
    messages = [post(fields, body) for fields, body in asked]
    bytewise = [bytes([byte]) for byte in b"".join(messages)]
    whole = outcome(RequestDecoder(), bytewise)  # a head in pieces is never known
    assert outcome(RequestDecoder(), messages) == whole
    in_pieces = [piece for message in messages for piece in pieces(message, places)]
    assert outcome(RequestDecoder(), in_pieces) == whole


def test_requests_with_the_same_head_share_what_was_read_of_it() -> None:
    decoder = RequestDecoder()
    fed = [decoder.feed(data) for data in (post(b"", b"a"), post(b"", b"bc"), post(b"A: b\r\n", b"d"))]
    [first], [second], [other] = fed
    assert first.headers is second.headers
    assert first.headers is not other.headers


def test_a_known_head_lifts_no_bound() -> None:
    decoder = RequestDecoder(max_body_bytes=4)
    assert [request.body for request in decoder.feed(post(b"", b"abcd"))] == [b"abcd"]
    with pytest.raises(RemoteProtocolError) as raised:
        decoder.feed(post(b"", b"abcde"))
    assert (raised.value.code, raised.value.status) == ("body_too_large", 413)


def test_while_the_body_of_a_known_head_comes_it_is_owed() -> None:
    decoder = RequestDecoder()
    message = post(b"Expect: 100-continue\r\n", b"abcd")
    decoder.feed(message)
    assert decoder.feed(message[:-4]) == []
    assert decoder.in_message and decoder.in_body and decoder.wants_continue
    assert decoder.feed(b"ab") == []
    assert not decoder.wants_continue
    [request] = decoder.feed(b"cd")
    assert (request.body, decoder.in_message) == (b"abcd", False)


def ok(body: bytes, fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)


@given(st.lists(st.tuples(st.binary(max_size=9), st.sampled_from(ANSWERED)), max_size=5))
def test_answers_on_one_connection_are_read_as_each_by_itself(answers: list[tuple[bytes, bytes]]) -> None:
    decoder = ResponseDecoder()
    for body, fields in answers:
        alone = ResponseDecoder()
        data = ok(body, fields)
        assert (decoder.feed(data), decoder.complete) == (alone.feed(data), True)
        assert (decoder.status, decoder.keep_alive) == (alone.status, alone.keep_alive)
        if not decoder.keep_alive:
            return
        decoder.next()


def test_an_answer_in_pieces_or_with_more_behind_it_is_left_to_the_parser() -> None:
    decoder = ResponseDecoder()
    decoder.feed(ok(b"hello"))
    decoder.next()
    assert decoder.feed(ok(b"hello")[:-2]) + decoder.feed(b"lo") == b"hello"
    assert decoder.complete
    decoder.next()
    assert decoder.feed(ok(b"hello") + b"HTTP/1.1 200 OK\r\n\r\n") == b"hello"
    assert decoder.complete and not decoder.keep_alive


def test_the_head_of_an_interim_answer_is_not_taken_for_the_real_one() -> None:
    decoder = ResponseDecoder()
    decoder.feed(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n" + ok(b"hi", b"A: b\r\n"))
    assert decoder.complete
    decoder.next()
    with pytest.raises(RemoteProtocolError):
        decoder.feed(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nhi")
