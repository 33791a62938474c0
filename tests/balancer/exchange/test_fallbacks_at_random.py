"""Whatever happens in whatever order: every request has one end, and nothing stays leased, queued or asked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import errors
from balancer.admission.aliases import parse_rules
from balancer.exchange.exchange import Exchange
from balancer.exchange.first_tokens import LEAST, FirstTokens
from balancer.exchange.timeline import Limits
from balancer.request import Wishes
from tests.fakes import Hall, RecordingSink, text_events

MODELS = ("gpt-x", "gpt-x", "v1", "v1", "v2", "small", "nobody's")
FAILURES = (
    errors.backend_failed("x", "reset"),
    errors.backend_unreachable("x", "refused"),
    errors.backend_busy("x", 0.1),
    errors.rejected("no", "invalid_value", 400),
)
STEPS = st.one_of(
    st.tuples(
        st.just("ask"), st.sampled_from(MODELS), st.sampled_from([None, Wishes(explain=True), Wishes(fallback=False)])
    ),
    st.tuples(st.sampled_from(["say", "comment", "finish", "answer"]), st.integers(0, 5)),
    st.tuples(st.just("fail"), st.integers(0, 5), st.sampled_from(FAILURES)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("pass"), st.sampled_from([0.25, 1.5, 6.0])),
    st.tuples(st.just("leave"), st.integers(0, 3)),
    st.tuples(st.just("join"), st.integers(0, 3)),
)


def hall_of(hedges: bool) -> Hall:
    hall = Hall(queue_size=2, limits=Limits(first_token_s=4.0, between_tokens_s=3.0, queue_s=2.0, request_s=15.0))
    hall.dispatcher.rules = parse_rules(
        {"gpt-x": {"v1": 1, "v2": 1}, "v1": {"fallback": ["nobody's", "small"]}, "v2": {"fallback": "small"}}
    )
    if hedges:
        hall.dispatcher.hedging = first_tokens = FirstTokens()
        for model in MODELS:
            for _ in range(LEAST):
                first_tokens.learn(model, 0.5)
    for number in range(4):
        join(hall, number)
    return hall


def join(hall: Hall, number: int) -> None:
    name = f"b{number}"
    if hall.registry.named(name) is None:
        hall.join(name, model=("v1", "v1", "v2", "small")[number], slots=2, instance=str(hall.clock.now))


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.lists(STEPS, min_size=10, max_size=40))
def test_every_request_has_one_end_and_nothing_is_left(hedges: bool, steps: list[tuple[object, ...]]) -> None:
    hall = hall_of(hedges)
    asked: list[tuple[Exchange | None, RecordingSink]] = []
    gone: set[int] = set()
    for what, *details in steps:
        running = hall.upstream.running
        match what, details:
            case "ask", [str(model), wishes]:
                asked.append(hall.ask(model=model, wishes=wishes))
            case "say" | "comment" | "finish" | "answer" | "fail", [int(at), *rest] if running:
                call = running[at % len(running)]
                if what == "fail":
                    assert isinstance(rest[0], errors.Failure)
                    call.fail(rest[0])
                elif what == "comment":
                    call.send(b": lives\n\n")
                elif what == "say":
                    call.send(text_events("x"))
                else:
                    call.answer("y")
            case "cancel", [int(at)] if asked:
                exchange, sink = asked[at % len(asked)]
                if exchange is not None and exchange.state.live:
                    exchange.cancel()
                    gone.add(id(sink))
            case "pass", [float(seconds)]:
                hall.pass_time(seconds)
            case "leave", [int(number)]:
                if hall.registry.named(f"b{number}") is not None:
                    hall.leave(f"b{number}")
            case "join", [int(number)]:
                join(hall, number)
    hall.pass_time(16.0)
    for _, sink in asked:
        assert sink.endings == (id(sink) not in gone)
    assert hall.dispatcher.active == 0 and not hall.upstream.running and len(hall.queue) == 0
    assert hall.in_flight() == 0
