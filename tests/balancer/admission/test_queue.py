from __future__ import annotations

import random
from collections.abc import Callable, Hashable

from balancer.admission.queue import Waiter, WaitQueue


class Slots:
    """What waiters wait for: so many free slots of each need."""

    def __init__(self, **free: int) -> None:
        self.free: dict[Hashable, int] = {need: count for need, count in free.items()}  # noqa: C416 - another key type
        self.served: list[str] = []
        self.tries = 0

    def waiter(self, name: str, need: str = "m", size_bytes: int = 10, deadline: float = 100.0) -> Waiter:
        def serve() -> bool:
            self.tries += 1
            if not self.free.get(need):
                return False
            self.free[need] -= 1
            self.served.append(name)
            return True

        return a_waiter(serve, need, size_bytes, deadline)


def a_waiter(serve: Callable[[], bool], need: Hashable = "m", size_bytes: int = 10, deadline: float = 100.0) -> Waiter:
    return Waiter(serve, lambda now: None, lambda position: None, need, size_bytes, deadline)


def test_waiters_are_served_in_the_order_of_their_coming() -> None:
    slots, queue = Slots(m=2), WaitQueue(10, 1000)
    for name in "abc":
        assert queue.push(slots.waiter(name))
    queue.pump()
    assert slots.served == ["a", "b"]
    assert len(queue) == 1
    slots.free["m"] = 5
    queue.pump()
    assert slots.served == ["a", "b", "c"]
    assert queue.size_bytes == 0


def test_a_blocked_need_does_not_hold_up_another() -> None:
    slots, queue = Slots(m=0, other=1), WaitQueue(10, 1000)
    queue.push(slots.waiter("a"))
    queue.push(slots.waiter("b", "other"))
    queue.pump()
    assert slots.served == ["b"]


def test_routing_is_asked_once_per_need_and_not_once_per_waiter() -> None:
    slots, queue = Slots(), WaitQueue(100, 10_000)
    for number in range(50):
        queue.push(slots.waiter(str(number)))
    queue.pump()
    assert slots.tries == 1


def test_a_full_queue_takes_nobody_by_number_nor_by_bytes() -> None:
    slots = Slots()
    queue = WaitQueue(2, 25)
    assert queue.push(slots.waiter("a"))
    assert not queue.push(slots.waiter("too big", size_bytes=16))
    assert queue.push(slots.waiter("b"))
    assert not queue.push(slots.waiter("c", size_bytes=1))
    assert (len(queue), queue.size_bytes) == (2, 20)


def test_a_queue_of_no_length_takes_only_those_who_had_their_turn() -> None:
    slots, queue = Slots(), WaitQueue(0, 0)
    assert not queue.push(slots.waiter("a"))
    assert queue.push(slots.waiter("again"), front=True)


def test_who_had_his_turn_waits_at_the_head_and_above_the_bounds() -> None:
    slots, queue = Slots(), WaitQueue(1, 10)
    queue.push(slots.waiter("a"))
    again = slots.waiter("again")
    assert queue.push(again, front=True)
    assert again.position == 1
    slots.free["m"] = 2
    queue.pump()
    assert slots.served == ["again", "a"]


def test_who_leaves_frees_its_place_once() -> None:
    slots, queue = Slots(), WaitQueue(1, 10)
    waiter = slots.waiter("a")
    queue.push(waiter)
    assert queue.remove(waiter)
    assert not queue.remove(waiter)
    assert queue.size_bytes == 0
    assert queue.push(slots.waiter("b"))


def test_the_late_are_taken_out_and_the_others_stay() -> None:
    slots, queue = Slots(), WaitQueue(10, 1000)
    early, late = slots.waiter("early", deadline=5.0), slots.waiter("late", deadline=9.0)
    queue.push(early)
    queue.push(late)
    assert queue.expired(4.9) == []
    assert queue.expired(5.0) == [early]
    assert (len(queue), queue.size_bytes) == (1, 10)


def test_positions_are_told_only_when_they_change() -> None:
    slots, queue = Slots(), WaitQueue(10, 1000)
    waiters = [slots.waiter(name) for name in "abc"]
    for waiter in waiters:
        queue.push(waiter)
    assert [waiter.position for waiter in waiters] == [1, 2, 3]
    assert list(queue.moved()) == []
    queue.remove(waiters[0])
    assert list(queue.moved()) == waiters[1:]
    assert [waiter.position for waiter in waiters[1:]] == [1, 2]


def test_a_start_that_fails_at_once_is_followed_by_another_pass() -> None:
    queue, slots = WaitQueue(10, 1000), Slots(m=2)
    served = slots.served

    def fails_at_once() -> bool:
        served.append("first")
        queue.push(slots.waiter("again"), front=True)
        queue.pump()  # from within itself, as a freed slot does
        return True

    queue.push(a_waiter(fails_at_once))
    queue.push(slots.waiter("second"))
    queue.pump()
    assert served == ["first", "second", "again"]
    assert len(queue) == 0


def test_one_who_leaves_during_a_pass_is_not_served() -> None:
    queue, slots = WaitQueue(10, 1000), Slots(m=1)
    second = slots.waiter("second")

    def serve() -> bool:
        queue.remove(second)
        return True

    queue.push(a_waiter(serve))
    queue.push(second)
    queue.pump()
    assert slots.served == []
    assert len(queue) == 0


def test_bounds_and_order_hold_in_a_thousand_random_operations() -> None:
    rng = random.Random(7)
    for _ in range(20):
        slots, queue, waiting, came = Slots(), WaitQueue(8, 100), [], 0
        for _ in range(50):
            match rng.randrange(4):
                case 0 | 1:
                    waiter = slots.waiter(f"{came:04}", rng.choice("xy"), rng.randrange(1, 30))
                    came += 1
                    if queue.push(waiter):
                        waiting.append(waiter)
                case 2:
                    slots.free[rng.choice("xy")] = rng.randrange(3)
                    queue.pump()
                case _ if waiting:
                    queue.remove(waiting.pop(rng.randrange(len(waiting))))
            assert len(queue) <= 8
            assert 0 <= queue.size_bytes <= 100
        slots.free = {"x": 100, "y": 100}
        queue.pump()
        assert (len(queue), queue.size_bytes) == (0, 0)
