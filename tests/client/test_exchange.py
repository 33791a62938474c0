from __future__ import annotations

import msgspec

from balancer.wire.limits import RESPONSE_MAX_BYTES
from balancer.wire.native import Reply
from client.errors import AnswerTooLong, ConnectionLost, Refused
from client.events import Chunk, Done, Queued, Resumed, Text
from client.exchange import Exchange


def test_events_come_out_in_the_order_they_arrived():
    x = Exchange(1, now=0.0)
    for reply in (
        Reply(queued={"position": 2}),
        Reply(text="a"),
        Reply(chunk=msgspec.Raw(b'{"c":1}')),
        Reply(resumed={"backend": "b2"}),
        Reply(text="b"),
    ):
        x.feed(reply, 1.0)
    taken = [x.take() for _ in range(6)]
    assert taken == [Queued(2), Text("a"), Chunk(b'{"c":1}'), Resumed({"backend": "b2"}), Text("b"), None]
    assert x.buffered_bytes == 0
    assert x.text == "ab"
    assert x.resumed == 1


def test_the_queue_position_is_over_with_the_first_text():
    x = Exchange(1, now=0.0)
    x.feed(Reply(queued={"position": 2}), 1.0)
    assert x.queued == 2
    x.feed(Reply(text="a"), 2.0)
    assert x.queued is None


def test_the_first_outcome_stands():
    x = Exchange(1, now=0.0)
    x.feed(Reply(done={"finish_reason": "stop"}), 1.0)
    x.feed(Reply(text="late"), 2.0)
    x.end(ConnectionLost("later"), 3.0)
    assert x.outcome == Done("stop", fields={"finish_reason": "stop"})
    assert x.text == ""


def test_an_error_object_becomes_an_error():
    x = Exchange(1, now=0.0)
    x.feed(Reply(error={"code": "backend_lost", "message": "gone"}), 1.0)
    assert isinstance(x.outcome, Refused)


def test_timing_is_measured_from_asking():
    x = Exchange(1, now=10.0)
    assert x.timing(11.0).ttft_s is None
    x.feed(Reply(text="a"), 10.5)
    x.feed(Reply(text="b"), 11.0)
    assert x.timing(12.0).total_s == 2.0
    x.feed(Reply(done={"usage": {"completion_tokens": 5}}), 11.5)
    timing = x.timing(99.0)
    assert (timing.ttft_s, timing.total_s, timing.tokens, timing.tokens_per_s) == (0.5, 1.5, 5, 4.0)


def test_without_usage_the_pieces_count():
    x = Exchange(1, now=0.0)
    x.feed(Reply(text="a"), 1.0)
    x.feed(Reply(text="b"), 2.0)
    x.feed(Reply(done={}), 3.0)
    assert x.timing(3.0).tokens == 2


def test_an_answer_without_end_is_cut():
    x = Exchange(1, now=0.0, buffer_max_bytes=1 << 40)
    piece = "x" * (1 << 20)
    for _ in range(RESPONSE_MAX_BYTES // len(piece)):
        x.feed(Reply(text=piece), 1.0)
        x.take()
    assert x.outcome is None
    x.feed(Reply(text="x"), 1.0)
    assert isinstance(x.outcome, AnswerTooLong)
