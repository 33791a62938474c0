from __future__ import annotations

import json

import msgspec

from balancer.wire.dialect import Usage
from balancer.wire.native_messages import BadLine, Done


def test_what_is_not_known_of_an_answer_is_not_told() -> None:
    told = json.loads(msgspec.json.encode(Done("stop", "m", "b", "miss", 1, 0, 0.0, 1.5, 2.0)))
    assert told == {
        "finish_reason": "stop", "model": "m", "backend": "b", "cache": "miss", "attempts": 1, "resumed": 0,
        "queue_ms": 0.0, "ttft_ms": 1.5, "total_ms": 2.0,
    }  # fmt: skip


def test_a_finish_reason_is_told_even_where_the_engine_gave_none() -> None:
    done = Done(None, "m", "b", "exact", 0, 0, 0.0, 0.0, 0.0, Usage(1, 2, 3), age_s=2.5)
    told = json.loads(msgspec.json.encode(done))
    assert told["finish_reason"] is None
    assert told["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert told["age_s"] == 2.5


def test_a_bad_line_keeps_the_id_it_had() -> None:
    error = BadLine("invalid_key", "no", id=7)
    assert (error.id, error.code, error.message, error.status) == (7, "invalid_key", "no", 400)
