from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.limits import LINE_MAX_BYTES
from balancer.wire.native import Ask, Cancel, Wrong, parse_line
from client.errors import BadReply, BadRequest, Busy, ConnectionLost, SlowReader, TooManyInFlight
from client.events import Done, Text
from client.session import Session
from tests.client.fake_balancer import reply


def sent(session: Session) -> list[object]:
    return [parse_line(line) for line in session.bytes_to_send().splitlines()]


def texts(exchange) -> list[str]:
    found = []
    while (event := exchange.take()) is not None:
        if isinstance(event, Text):
            found.append(event.text)
    return found


def test_requests_carry_their_own_ids_and_the_connections_key():
    session = Session(key="k")
    session.ask({"prompt": "a"}, now=0.0)
    session.ask({"prompt": "b", "max_tokens": 3}, now=0.0, cache="bypass", deadline_s=2.0, key="own")
    assert sent(session) == [
        Ask(1, {"prompt": "a"}, "k"),
        Ask(2, {"prompt": "b", "max_tokens": 3}, "own", "bypass", 2.0),
    ]


def test_the_admin_port_is_recognised():
    session = Session()
    asked = session.ask({"prompt": "a"}, now=0.0)
    session.receive(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", 1.0)
    assert isinstance(asked.outcome, BadReply) and "is this the admin port?" in asked.outcome.message


def test_interleaved_answers_are_told_apart():
    session = Session()
    a, b = (session.ask({"prompt": p}, now=0.0) for p in "ab")
    changed = session.receive(
        reply(id=2, text="B") + b"\n\r\n" + reply(id=1, text="A") + reply(id=2, done={"finish_reason": "stop"}), 1.0
    )
    assert changed == {a, b}
    assert (texts(a), texts(b)) == (["A"], ["B"])
    assert a.outcome is None
    assert isinstance(b.outcome, Done)
    assert session.in_flight == 1


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same_answers(data):
    stream = b"".join(
        [
            reply(id=1, queued={"position": 3}),
            b"\n",
            reply(id=1, text="Grüße 🐙"),
            reply(id=2, text="x"),
            reply(id=1, resumed={"backend": "b2"}),
            reply(id=2, error={"type": "t", "code": "queue_full", "message": "m", "retry_after_s": 2}),
            reply(id=1, done={"finish_reason": "stop"}),
        ]
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    session = Session()
    a, b = (session.ask({"prompt": p}, now=0.0) for p in "ab")
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        session.receive(stream[start:end], 1.0)
    assert (a.text, a.resumed, b.text) == ("Grüße 🐙", 1, "x")
    assert isinstance(a.outcome, Done)
    assert isinstance(b.outcome, Busy)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_input_crashes_or_is_kept_without_bound(parts):
    session = Session()
    exchange = session.ask({"prompt": "a"}, now=0.0)
    for part in parts:
        session.receive(part, 1.0)
    if session.failure is not None:
        assert exchange.outcome is session.failure


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b'{"id":1,"text":7}\n', b"\xff\xfe\n"])
def test_garbage_ends_every_answer_with_an_error(garbage):
    session = Session()
    a, b = (session.ask({"prompt": p}, now=0.0) for p in "ab")
    assert session.receive(reply(id=1, text="half") + garbage, 1.0) == {a, b}
    assert isinstance(a.outcome, BadReply)
    assert isinstance(session.failure, BadReply)
    with pytest.raises(BadReply):
        session.ask({"prompt": "c"}, now=2.0)


def test_a_line_without_end_is_refused_in_bounded_memory():
    session = Session()
    session.ask({"prompt": "a"}, now=0.0)
    for _ in range(3):
        session.receive(b"x" * LINE_MAX_BYTES, 1.0)
    assert isinstance(session.failure, BadReply)


def test_a_lost_connection_is_no_clean_end():
    session = Session()
    exchange = session.ask({"prompt": "a"}, now=0.0)
    session.receive(reply(id=1, text="half"), 1.0)
    session.lost(ConnectionLost("gone"), 2.0)
    assert texts(exchange) == ["half"]
    assert isinstance(exchange.outcome, ConnectionLost)


def test_an_error_without_id_explains_the_close_that_follows():
    session = Session()
    exchange = session.ask({"prompt": "a"}, now=0.0)
    session.receive(reply(error={"type": "t", "code": "too_many_connections", "message": "no room"}), 1.0)
    assert exchange.outcome is None
    session.lost(ConnectionLost("gone"), 2.0)
    assert isinstance(exchange.outcome, ConnectionLost)
    assert exchange.outcome.code == "too_many_connections"
    assert "no room" in exchange.outcome.message


def test_a_cancel_goes_out_once_and_drops_what_still_comes():
    session = Session()
    exchange = session.ask({"prompt": "a"}, now=0.0)
    session.receive(reply(id=1, text="x"), 1.0)
    session.cancel(exchange)
    session.cancel(exchange)
    assert sent(session)[1:] == [Cancel(1)]
    session.receive(reply(id=1, text="late") + reply(id=1, done={"finish_reason": "cancelled"}), 2.0)
    assert exchange.take() is None
    assert exchange.text == "x"
    assert session.in_flight == 0


def test_an_answer_alone_pushes_back_and_with_siblings_is_cut_alone():
    session = Session(buffer_max_bytes=10_000)
    slow = session.ask({"prompt": "a"}, now=0.0)
    session.receive(reply(id=1, text="x" * 6_000), 1.0)
    assert session.congested
    other = session.ask({"prompt": "b"}, now=1.0)
    assert not session.congested
    session.receive(reply(id=1, text="x" * 6_000) + reply(id=2, text="fine"), 2.0)
    assert isinstance(slow.outcome, SlowReader)
    assert other.outcome is None
    assert sent(session)[-1] == Cancel(1)
    assert session.receive(reply(id=1, text="still coming") + reply(id=1, done={}), 3.0) == set()
    assert len("".join(texts(slow))) == 12_000


def test_empty_pieces_are_bounded_too():
    session = Session(buffer_max_bytes=10_000)
    session.ask({"prompt": "a"}, now=0.0)
    slow = session.ask({"prompt": "b"}, now=0.0)
    session.receive(reply(id=2, text="") * 200, 1.0)
    assert isinstance(slow.outcome, SlowReader)


def test_limits_are_errors_before_anything_is_sent():
    session = Session(in_flight_max=1)
    with pytest.raises(BadRequest, match="longer"):
        session.ask({"prompt": "x" * LINE_MAX_BYTES}, now=0.0)
    with pytest.raises(BadRequest, match="not JSON"):
        session.ask({"prompt": "x", "stop": object()}, now=0.0)
    with pytest.raises(BadRequest, match="not JSON"):
        session.ask({"prompt": "\ud800"}, now=0.0)
    session.ask({"prompt": "a"}, now=0.0)
    with pytest.raises(TooManyInFlight):
        session.ask({"prompt": "b"}, now=0.0)
    assert len(sent(session)) == 1


def test_a_bound_of_the_connection_ends_an_exchange_that_is_forgotten():
    session = Session()
    exchange = session.ask({"prompt": "a"}, now=0.0)
    session.forget(exchange, ConnectionLost("no confirm"), 1.0)
    assert session.in_flight == 0
    assert session.receive(reply(id=1, done={}), 2.0) == set()


def test_an_entry_is_called_wrong_with_the_connections_key_and_the_reply_is_nobodys():
    session = Session(key="k")
    session.wrong("5f0c")
    session.wrong("5f0c", "own")
    assert sent(session) == [Wrong("5f0c", "k"), Wrong("5f0c", "own")]
    assert session.receive(reply(wrong={"entry": "5f0c", "forgotten": True}), 1.0) == set()
    assert session.failure is None
    session.lost(ConnectionLost("gone"), 2.0)
    with pytest.raises(ConnectionLost):
        session.wrong("5f0c")
