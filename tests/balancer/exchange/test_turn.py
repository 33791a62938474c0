from __future__ import annotations

from balancer.errors import Failure, backend_failed
from balancer.exchange.turn import Turn, tokens_of
from balancer.pool.ledger import Lease
from tests.fakes import Hall

BROKEN = backend_failed("x", "connection reset")


class Owner:
    """Remembers what came of its turn."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.waited = 0
        self.positions: list[int] = []
        self.failure: Failure | None = None
        self.late_at: float | None = None

    def leased(self, lease: Lease) -> None:
        self.lease = lease

    def waits(self) -> None:
        self.waited += 1

    def position(self, position: int) -> None:
        self.positions.append(position)

    def fail(self, failure: Failure) -> None:
        self.failure = failure

    def waited_out(self, now: float) -> None:
        self.late_at = now


def a_turn(hall: Hall, model: str = "m", **changes: object) -> tuple[Turn, Owner]:
    owner = Owner()
    return Turn(hall.dispatcher, hall.request(**changes), model, owner), owner  # type: ignore[arg-type]


def test_a_free_slot_is_leased_at_once() -> None:
    hall = Hall()
    hall.join("a")
    turn, owner = a_turn(hall)
    turn.take(hall.clock.now + 60.0)
    assert owner.lease is not None and owner.lease.spec.name == "a"
    assert not owner.waited and hall.in_flight() == 1


def test_without_one_it_waits_and_is_served_when_one_is_freed() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    first, second = a_turn(hall), a_turn(hall)
    first[0].take(hall.clock.now + 60.0)
    second[0].take(hall.clock.now + 60.0)
    assert second[1].waited == 1 and second[1].positions == [1]
    assert first[1].lease is not None
    first[1].lease.release()
    assert second[1].lease is not None and len(hall.queue) == 0


def test_who_gives_up_waits_no_more() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    first, second = a_turn(hall), a_turn(hall)
    first[0].take(hall.clock.now + 60.0)
    second[0].take(hall.clock.now + 60.0)
    second[0].give_up()
    second[0].give_up()
    assert len(hall.queue) == 0


def test_who_waited_out_is_told_and_the_wait_ends_with_the_request_at_the_latest() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    a_turn(hall)[0].take(hall.clock.now + 60.0)
    turn, owner = a_turn(hall)
    turn.take(hall.clock.now + 5.0)
    hall.pass_time(6.0)
    assert owner.late_at is not None and owner.late_at <= 1005.5


def test_a_backend_that_failed_the_request_is_not_leased_again_but_its_successor_is() -> None:
    hall = Hall()
    hall.join("a", instance="1")
    turn, owner = a_turn(hall)
    turn.exclude("a 1", BROKEN, resume=False)
    turn.take(hall.clock.now + 60.0, again=True)
    assert owner.failure is BROKEN, "nobody else is there: what went wrong is what is told"
    hall.join("a", instance="2")
    turn.take(hall.clock.now + 60.0, again=True)
    assert owner.lease is not None


def test_a_chat_answer_goes_on_only_where_that_can_be_done() -> None:
    hall = Hall()
    hall.join("plain")
    turn, owner = a_turn(hall, endpoint="chat", body={"messages": [{"role": "user", "content": "hi"}]})
    turn.exclude("gone 1", BROKEN, resume=True)
    hall.join("able", abilities=frozenset({"continue_from"}))
    turn.take(hall.clock.now + 60.0, again=True)
    assert owner.lease is not None and owner.lease.spec.name == "able"


def test_who_is_to_go_on_waits_for_a_backend_that_is_on_its_way_back() -> None:
    hall = Hall()
    hall.join("a", alive=False)
    turn, owner = a_turn(hall)
    turn.exclude("gone 1", BROKEN, resume=True)
    turn.take(hall.clock.now + 60.0, again=True)
    assert owner.failure is None and owner.waited == 1
    hall.beat("a")
    assert owner.lease is not None


def test_the_cost_of_a_request_is_its_prompt_and_what_it_may_say() -> None:
    hall = Hall()
    assert tokens_of(hall.request("x" * 400)) == 100 + 256
    assert tokens_of(hall.request("x" * 400, body={"prompt": "x", "max_tokens": 10})) == 110
    assert tokens_of(hall.request("x" * 400, body={"prompt": "x", "max_tokens": 10**9})) == 100 + 256
    assert tokens_of(hall.request("", body={"prompt": "x", "max_completion_tokens": "many"})) == 256


def test_a_queue_full_of_those_who_wait_for_another_model_keeps_nobody_from_a_free_slot() -> None:
    hall = Hall(queue_size=2)
    hall.join("busy", slots=1, model="m")
    hall.join("idle", model="other")
    waiting = [a_turn(hall, tenant="many") for _ in range(3)]
    for turn, _ in waiting:
        turn.take(hall.clock.now + 60.0)
    turn, owner = a_turn(hall, "other", tenant="one")
    turn.take(hall.clock.now + 60.0)
    assert owner.lease is not None and owner.lease.spec.name == "idle"
    assert [waiter.failure for _, waiter in waiting] == [None] * 3, "nobody was put out for one who need not wait"
    refused, told = a_turn(hall, tenant="many")
    refused.take(hall.clock.now + 60.0)
    assert told.failure is not None and told.failure.code == "queue_full"


def test_others_are_those_who_could_take_it_with_or_without_a_slot() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.join("n", model="n")
    turn, owner = a_turn(hall)
    turn.take(hall.clock.now + 60.0)
    assert owner.lease is not None and not turn.others(owner.lease)
    hall.join("b", slots=1)
    a_turn(hall)[0].take(hall.clock.now + 60.0)
    assert turn.others(owner.lease)
    turn.exclude("b b-1", BROKEN, resume=False)
    assert not turn.others(owner.lease)
