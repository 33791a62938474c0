"""What chaos would say if an answer were not right: a check that finds nothing must be able to find something."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from scripts.chaos_parts.answer import Answer
from scripts.chaos_parts.asks import Ask, make_ask
from scripts.chaos_parts.stream import Stream
from scripts.chaos_parts.tally import Tally, quantile
from scripts.chaos_parts.trouble import plan


def chunk(content: str = "", finish: str | None = None, role: str | None = None, **more: Any) -> str:
    delta = {**({"role": role} if role else {}), **({"content": content} if content else {})}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "a", "model": "m", "created": 1, "object": "chat.completion.chunk", "choices": choices}
    return f"data: {json.dumps({**body, **more})}\n\n"


FIRST, DONE = chunk(role="assistant"), "data: [DONE]\n\n"
GOOD = FIRST + chunk("so") + chunk(" far") + chunk(finish="stop") + chunk(choices=[], usage={"total_tokens": 3}) + DONE
COMMENT = ": balancer backend=b attempts=2 cache=off resumed=1\n\n"


def read(text: str, size: int = 1 << 16) -> Stream:
    stream = Stream("chat")
    data = text.encode()
    for at in range(0, len(data), size):
        stream.feed(data[at : at + size])
    stream.end()
    return stream


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_good_stream_has_no_faults(size: int) -> None:
    stream = read(": ping\n\n" + GOOD + COMMENT, size)
    assert (stream.faults, stream.text, stream.finish_reason) == ([], "so far", "stop")
    assert (stream.id, stream.model, stream.resumed, stream.attempts) == ("a", "m", 1, 2)
    assert stream.usage == {"total_tokens": 3} and stream.error is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.removesuffix(DONE), "ended without [DONE]"),
        (GOOD + DONE, "an event after the end"),
        (FIRST + chunk("so") + DONE, "ended without a finish_reason"),
        (GOOD[:-1], "half an event"),
        (FIRST + GOOD, "2 role chunks"),
        (GOOD.replace(FIRST, ""), "0 role chunks"),
        (GOOD.replace(chunk(" far"), chunk(" far", role="assistant")), "a role behind text"),
        (GOOD.replace(chunk(" far"), chunk(" far", id="b")), "id changed"),
        (GOOD.replace(chunk(" far"), chunk(" far", model="n")), "model changed"),
        (GOOD.replace(DONE, chunk(choices=[], usage={"total_tokens": 9}) + DONE), "usage twice"),
        (GOOD.replace(DONE, chunk("more") + DONE), "a choice after the finish"),
        ("event: x\n\n" + GOOD, "no event"),
    ],
)
def test_a_fault_is_found(text: str, said: str) -> None:
    assert any(said in fault for fault in read(text).faults)


def test_an_error_event_is_an_error_and_ends_it() -> None:
    stream = read(FIRST + chunk("so") + 'data: {"error":{"code":"backend_lost"}}\n\n')
    assert (stream.error, stream.faults) == ({"code": "backend_lost"}, [])


# --- the tally


ASK = Ask(7, "native", "completions", stream=True, prompt="n7 Grüße 東京", tokens=4, named=False)
RIGHT: dict[str, Any] = {"text": " n7 Grüße 東京 n7", "finish_reason": "length"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def told_of(**fields: Any) -> Tally:
    tally = Tally()
    tally.add(ASK, Answer(**{**RIGHT, "usage": USAGE, "total_s": 2.0, **fields}))
    return tally


def test_the_right_answer_is_right() -> None:
    tally = told_of(resumed=2, attempts=2)
    assert (tally.requests, tally.failed, tally.wrong, tally.told) == (1, 0, 0, [])
    assert (tally.resumed_answers, tally.resumed, tally.retried) == (1, 2, 1)
    assert tally.figures()["p99_s"] == 2.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": " n7 Grüße 東京"}, "at 12 of 15 characters"),
        ({"text": " n7 Grüße Grüße 東京"}, "at 10 of 15"),
        ({"finish_reason": "stop"}, "finish_reason is 'stop'"),
        ({"usage": {**USAGE, "completion_tokens": 5}}, "usage tells 5 tokens of 4"),
        ({"usage": None}, "usage tells None tokens"),
        ({"faults": ["2 role chunks"]}, "2 role chunks"),
    ],
)
def test_what_is_wrong_is_counted_and_told(fields: dict[str, Any], said: str) -> None:
    tally = told_of(**fields)
    assert tally.wrong == 1 and tally.failed == 0
    assert "request 7 (native completions)" in tally.told[0] and said in tally.told[0]


def test_what_failed_is_counted_apart_and_not_timed() -> None:
    tally = told_of(error="backend_lost: gone")
    assert (tally.failed, tally.wrong) == (1, 0) and "backend_lost: gone" in tally.told[0]
    assert tally.figures()["p50_s"] is None


def test_quantiles_go_by_rank() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0.5, 0.99, 1.0)] == [51, 100, 100]
    assert quantile([], 0.5) is None


# --- asks and plans


def test_every_kind_is_asked_and_no_prompt_twice() -> None:
    rng = random.Random(1)
    asked = [make_ask(rng, n) for n in range(70)]
    assert len({each.kind for each in asked}) == 7 and len({each.prompt for each in asked}) == 70
    assert {each.door for each in asked} == {"native", "http", "classic"}
    assert all(each.expected == each.prompt for each in asked if each.door == "classic")


def test_a_plan_holds_what_is_due_within_the_time_and_depends_on_the_seed_alone() -> None:
    events = plan(random.Random(3), 25.0, minutes=1.0)
    assert events == plan(random.Random(3), 25.0, minutes=1.0) != plan(random.Random(4), 25.0, minutes=1.0)
    assert sorted(each.kind for each in events) == ["frozen"] * 5 + ["killed"] * 10 + ["slowed and restarted"] * 5
    times_s = [each.at_s for each in events]
    assert times_s == sorted(times_s) and times_s[0] >= 0 and times_s[-1] < 25.0
