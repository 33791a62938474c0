from __future__ import annotations

from collections.abc import Callable, Hashable

from balancer.admission.queue import TENANTS_SHOWN_MAX, Waiter, WaitQueue


class Slots:
    """What waiters wait for: so many free slots of each need."""

    def __init__(self, **free: int) -> None:
        self.free: dict[Hashable, int] = {need: count for need, count in free.items()}  # noqa: C416 - another key type
        self.served: list[str] = []
        self.evicted: list[str] = []
        self.tries = 0

    def waiter(
        self,
        name: str,
        need: str = "m",
        size_bytes: int = 10,
        deadline: float = 100.0,
        *,
        tenant: str = "local",
        tokens: int = 1,
    ) -> Waiter:
        def serve() -> bool:
            self.tries += 1
            if not self.free.get(need):
                return False
            self.free[need] -= 1
            self.served.append(name)
            return True

        waiter = a_waiter(serve, need, size_bytes, deadline)
        waiter.tenant, waiter.tokens, waiter.evict = tenant, tokens, lambda: self.evicted.append(name)
        return waiter


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


def test_those_who_had_their_turn_are_served_as_they_came_back() -> None:
    slots, queue = Slots(), WaitQueue(1, 10)
    for name in "abc":
        assert queue.push(slots.waiter(name, tenant=name), front=True)
    queue.remove(next(iter(queue._waiters)))
    slots.free["m"] = 2
    queue.pump()
    assert slots.served == ["b", "c"]


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
    assert served == ["first", "again", "second"]
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


def test_tenants_take_turns_however_many_requests_each_has() -> None:
    slots, queue = Slots(m=6), WaitQueue(100, 10_000)
    for n in range(50):
        queue.push(slots.waiter(f"a{n}", tenant="a"))
    for n in range(2):
        queue.push(slots.waiter(f"b{n}", tenant="b"))
    queue.pump()
    assert slots.served == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_a_tenant_is_served_by_its_weight() -> None:
    slots = Slots(m=8)
    queue = WaitQueue(100, 10_000, {"a": 3.0, "b": 1.0}.__getitem__)
    for tenant in "ba":
        for n in range(20):
            queue.push(slots.waiter(f"{tenant}{n}", tenant=tenant))
    queue.pump()
    assert sum(name.startswith("a") for name in slots.served) == 6


def test_a_flood_of_one_tenant_takes_no_place_from_another() -> None:
    slots, queue = Slots(), WaitQueue(4, 1000)
    for n in range(4):
        assert queue.push(slots.waiter(f"a{n}", tenant="a"))
    assert not queue.push(slots.waiter("a4", tenant="a"))
    assert queue.push(slots.waiter("b0", tenant="b"))
    assert queue.push(slots.waiter("b1", tenant="b"))
    assert slots.evicted == []
    queue.pump()
    assert slots.evicted == ["a3", "a2"]
    assert not queue.push(slots.waiter("b2", tenant="b"))
    assert queue.tenants() == {"a": 2, "b": 2}


def test_the_one_furthest_beyond_its_share_is_put_out_by_weight() -> None:
    slots = Slots()
    queue = WaitQueue(6, 1000, {"a": 4.0, "b": 1.0, "c": 1.0}.__getitem__)
    for n in range(3):
        queue.push(slots.waiter(f"a{n}", tenant="a"))
        queue.push(slots.waiter(f"b{n}", tenant="b"))
    assert queue.push(slots.waiter("c0", tenant="c"))
    queue.pump()
    assert slots.evicted == ["b2"]


def test_bytes_are_shared_like_places() -> None:
    slots, queue = Slots(), WaitQueue(100, 100)
    for n in range(10):
        queue.push(slots.waiter(f"a{n}", tenant="a"))
    assert not queue.push(slots.waiter("too big", size_bytes=51, tenant="b"))
    assert queue.push(slots.waiter("b0", size_bytes=35, tenant="b"))
    queue.pump()
    assert slots.evicted == ["a9", "a8", "a7", "a6"]
    assert queue.size_bytes == 95


def test_nobody_who_had_his_turn_is_put_out() -> None:
    slots, queue = Slots(), WaitQueue(2, 20)
    for n in range(3):
        queue.push(slots.waiter(f"a{n}", tenant="a"), front=True)
    assert not queue.push(slots.waiter("b", tenant="b"))
    queue.pump()
    assert slots.evicted == [] and len(queue) == 3


def test_who_is_put_out_may_ask_again_at_once() -> None:
    slots, queue = Slots(), WaitQueue(2, 1000)
    asked_again: list[bool] = []

    def ask_again() -> None:
        asked_again.append(queue.push(slots.waiter("a2", tenant="a")))
        queue.pump()

    for name in ("a0", "a1"):
        waiter = slots.waiter(name, tenant="a")
        waiter.evict = ask_again
        queue.push(waiter)
    assert queue.push(slots.waiter("b", tenant="b"))
    queue.pump()
    assert asked_again == [False]
    assert queue.tenants() == {"a": 1, "b": 1}


def test_a_position_tells_of_turns_and_never_goes_back() -> None:
    slots, queue = Slots(m=0), WaitQueue(100, 10_000)
    heavy = [slots.waiter(f"a{n}", tenant="a") for n in range(10)]
    for waiter in heavy:
        queue.push(waiter)
    light = slots.waiter("b", tenant="b")
    queue.push(light)
    assert light.position == 2
    assert list(queue.moved()) == []
    assert [waiter.position for waiter in heavy] == list(range(1, 11))
    slots.free["m"] = 2
    queue.pump()
    assert slots.served == ["a0", "b"]
    assert list(queue.moved()) == heavy[1:]
    assert heavy[1].position == 1


def test_who_waits_is_counted_by_tenant_the_most_first_and_not_without_end() -> None:
    slots, queue = Slots(), WaitQueue(1000, 10_000)
    for n in range(100):
        queue.push(slots.waiter(f"{n}", tenant=f"t{n}"))
    queue.push(slots.waiter("again", tenant="t50"), front=True)
    shown = queue.tenants()
    assert next(iter(shown.items())) == ("t50", 2)
    assert len(shown) == TENANTS_SHOWN_MAX


def test_a_freed_slot_asks_once_for_each_need_however_many_wait() -> None:
    slots, queue = Slots(), WaitQueue(9000, 10**6)
    for n in range(9000):
        queue.push(slots.waiter(str(n), need="xyz"[n % 3], tenant=str(n % 90)))
    slots.free["z"] = 1
    queue.pump()
    assert len(slots.served) == 1
    assert slots.tries == 4
