from __future__ import annotations

import ast
import inspect

import pytest

from balancer import errors
from balancer.meters import BACKENDS_MAX, MODELS_MAX, OTHER, OUTCOMES, Meters
from tests.balancer.records import a_record, refused


def some_meters(*models: str) -> Meters:
    return Meters(lambda model: model in models, lambda backend: backend.startswith("here"))


def test_requests_are_counted_by_model_and_by_how_they_ended() -> None:
    meters = some_meters("m", "n")
    for record in (a_record(), a_record(), a_record(model="n", outcome="cancelled"), refused("m", "queue_full")):
        meters.observe(record)
    assert {name: model.outcomes for name, model in meters.models.items()} == {
        "m": {"completed": 2, "queue_full": 1},
        "n": {"cancelled": 1},
    }


def test_tokens_are_added_where_a_backend_counted_them() -> None:
    meters = some_meters("m")
    meters.observe(a_record(prompt_tokens=3, completion_tokens=None))
    meters.observe(a_record(prompt_tokens=4, completion_tokens=5))
    assert (meters.models["m"].tokens_in, meters.models["m"].tokens_out) == (7, 5)


def test_ten_thousand_random_models_and_codes_share_one_name() -> None:
    meters = some_meters("m")
    for n in range(10_000):
        meters.observe(refused(f"model {n}"))
        meters.observe(a_record(outcome=f"engine code {n}"))
    assert {name: model.outcomes for name, model in meters.models.items()} == {
        OTHER: {"model_not_found": 10_000},
        "m": {OTHER: 10_000},
    }


def test_models_that_are_offered_are_bounded_too() -> None:
    meters = Meters(lambda model: True, lambda backend: True)
    for n in range(MODELS_MAX + 100):
        meters.observe(a_record(model=f"m{n}"))
    assert len(meters.models) == MODELS_MAX + 1
    assert meters.models[OTHER].outcomes == {"completed": 100}


def test_an_unknown_model_has_a_name_of_its_own_once_it_is_offered() -> None:
    offered: set[str] = set()
    meters = Meters(offered.__contains__, lambda backend: True)
    meters.observe(refused("m"))
    offered.add("m")
    meters.observe(a_record())
    assert set(meters.models) == {OTHER, "m"}


def test_attempts_are_counted_by_backend() -> None:
    meters = some_meters("m")
    meters.attempt_failed("a", errors.backend_lost("a"))
    meters.attempt_failed("a", errors.backend_busy("a", 1.0))
    meters.observe(a_record(backend="b", attempts=3))
    meters.observe(a_record(backend="b", outcome="cancelled"))
    meters.observe(a_record(backend="b", cache="exact", attempts=0))
    assert meters.attempts == {"a": {"failed": 1, "busy": 1}, "b": {"completed": 1, "cancelled": 1}}


def test_backends_that_are_gone_make_room_for_new_ones() -> None:
    meters = some_meters("m")
    for n in range(BACKENDS_MAX - 1):
        meters.observe(a_record(backend=f"gone-{n}"))
    for name in ("here-1", "here-2"):
        meters.observe(a_record(backend=name))
    assert set(meters.attempts) == {"here-1", "here-2"}


def test_times_of_answers_tell_the_cache_from_the_backends() -> None:
    meters = some_meters("m")
    meters.observe(a_record(ttft_s=0.2, total_s=2.0, queue_s=0.1))
    meters.observe(a_record(cache="exact", attempts=0, ttft_s=0.0, total_s=0.0))
    meters.observe(a_record(outcome="backend_lost", total_s=9.0))
    meters.observe(refused("m"))
    sums = {source: (answer.first_token.sum, answer.duration.sum) for source, answer in meters.answers.items()}
    assert sums == {"backend": (0.2, 2.0), "cache": (0.0, 0.0)}
    assert sum(meters.answers["cache"].duration.counts) == 1
    assert sum(meters.queue_wait.counts) == 2


def test_the_lag_is_how_late_a_tick_came() -> None:
    meters = some_meters()
    for now in (100.0, 100.25, 100.75, 101.0):
        meters.ticked(now, 0.25)
    assert sum(meters.loop_lag.counts) == 3
    assert meters.loop_lag.sum == pytest.approx(0.25)


def test_every_code_of_ours_is_an_outcome() -> None:
    """Read from the source: each literal code that a failure is made with."""
    tree = ast.parse(inspect.getsource(errors))
    constants = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    found = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name == "Failure":
            code = call.args[0]
        elif name == "bad_request" and len(call.args) > 1:
            code = call.args[1]
        else:
            continue
        if isinstance(code, ast.Constant):
            found.add(code.value)
        elif isinstance(code, ast.Name) and code.id in constants:
            found.add(constants[code.id])
    assert "queue_full" in found
    assert found <= OUTCOMES
