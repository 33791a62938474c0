from __future__ import annotations

from balancer import errors
from balancer.exchange.recording import CLIENT_LEFT, record_of
from tests.fakes import Hall


def test_an_answer_is_recorded_with_what_it_took() -> None:
    hall = Hall()
    hall.join("a")
    records = []
    hall.dispatcher.observers.append(records.append)
    hall.ask(model="m")
    hall.clock.now += 2.0
    hall.calls[0].answer("x")
    (record,) = records
    assert (record.outcome, record.status, record.model, record.backend) == ("completed", 200, "m", "a")
    assert (record.attempts, record.total_s, record.completion_tokens) == (1, 2.0, 2)


def test_a_failure_is_recorded_under_its_code_and_a_client_that_left_as_nginx_does() -> None:
    hall = Hall()
    hall.join("a")
    exchange, _ = hall.ask(model="m")
    assert exchange is not None
    failed = record_of(exchange, None, errors.no_backend("none", 1.0), hall.clock.now + 3.0)
    assert (failed.outcome, failed.status, failed.total_s, failed.ttft_s) == ("no_backend", 503, 3.0, None)
    left = record_of(exchange, None, None, hall.clock.now)
    assert (left.outcome, left.status, left.backend) == ("cancelled", CLIENT_LEFT, "a")
